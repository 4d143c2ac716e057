"""The web site whose access log is generated: its paths and their sizes, its visitors' programs, who links to it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from hpckit.generate.tables import Dice, alias, exponential, listed, lognormal, pool, zipf

CLIENTS = 340_000
PEOPLE = 180  # kinds of browsers; the bots come after them
BOTS = 20

# As in generate_access.h.
ASSET, PAGE, QUERY, DOWNLOAD, DEAD, MOVED, FORM = range(7)

WORDS = listed(
    "storage queue solver mesh tensor lattice fluid plasma genome climate kernel vector cluster fabric cache node job "
    "batch quota module compiler debugger profiler scratch archive gateway portal account project billing training "
    "workshop tutorial release migration outage maintenance benchmark checkpoint restart scheduler partition topology "
    "accelerator memory bandwidth latency container image registry notebook dataset transfer endpoint token policy"
)
TOPICS = listed("docs guides blog news events people projects systems software support research status")
ASSETS = (
    ("/static/css/", ".css"), ("/static/js/", ".js"), ("/static/img/", ".png"), ("/static/img/", ".svg"),
    ("/static/fonts/", ".woff2"), ("/media/photos/", ".jpg"), ("/media/photos/", ".webp"), ("/assets/", ".js"),
)  # fmt: skip
ARCHIVES = (".tar.gz", ".zip", ".whl", ".rpm", ".h5", ".iso")
PROBES = ("/wp-login.php", "/.env", "/phpmyadmin/", "/xmlrpc.php", "/.git/config", "/cgi-bin/test", "/admin.php")
FORMS = (
    "/login",
    "/logout",
    "/api/v2/jobs/submit",
    "/support/ticket",
    "/account/password",
    "/search/save",
    "/quota/request",
)
PLATFORMS = (
    "Windows NT 10.0; Win64; x64",
    "X11; Linux x86_64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Ubuntu; Linux x86_64",
    "Linux; Android 14",
    "iPhone; CPU iPhone OS 17_5 like Mac OS X",
)
ROBOTS = (
    "Mozilla/5.0 (compatible; IndexBot/{v}; +https://index.example/bot)",
    "curl/8.{v}.0",
    "python-requests/2.{v}.0",
    "Wget/1.{v}",
    'Mozilla/5.0 (compatible; \\"ResearchCrawler\\"/{v}; +https://crawl.example/info)',
)  # one of them quotes inside the field, as Apache writes it


@cache
def catalogue() -> dict[str, Any]:
    """Everything AccessKernel needs. The site is the same whatever the seed; the traffic is not."""
    dice = Dice(20250303)
    groups = [
        # kind, share of the requests, how skewed within the kind, paths
        (ASSET, 0.470, 0.95, _assets(dice, 1_500)),
        (PAGE, 0.235, 1.00, _pages(dice, 8_000)),
        (QUERY, 0.165, 0.80, _queries(dice, 36_000)),
        (DOWNLOAD, 0.030, 0.90, _downloads(dice, 1_200)),
        (DEAD, 0.045, 0.85, _dead(dice, 2_300)),
        (MOVED, 0.030, 0.90, _moved(dice, 1_000)),
        (FORM, 0.025, 0.70, list(FORMS)),
    ]
    paths = [path for *_, group in groups for path in group]
    weights = np.concatenate([share * zipf(len(group), skew) for _, share, skew, group in groups])
    kinds = np.concatenate([np.full(len(group), kind, np.uint8) for kind, *_, group in groups])
    browsers = [_browser(dice, i) for i in range(PEOPLE)]
    robots = [ROBOTS[i % len(ROBOTS)].format(v=1 + i) for i in range(BOTS)]
    elsewhere = [
        f"https://{dice.pick(('find', 'search', 'seek'))}.example/?q={dice.pick(WORDS)}+{dice.pick(WORDS)}"
        for _ in range(150)
    ]
    elsewhere += [f"https://{a}-{b}.example.net/" for a in WORDS[:10] for b in WORDS[20:25]]
    return {
        **pool("paths", paths), **pool("agents", browsers + robots), **pool("elsewhere", elsewhere),
        **pool("users", [f"{dice.pick('abcdefgh')}{word[:6]}{dice.below(90)}" for word in WORDS]),
        **alias("popularity", weights), **alias("browsers", zipf(PEOPLE, 0.9)),
        "path_kinds": kinds, "path_sizes": np.array([_size(dice, int(k)) for k in kinds], np.uint32),
        "exponential": exponential(), "lognormal": lognormal(0.8),
        "clients": CLIENTS, "people": PEOPLE, "bots": BOTS,
    }  # fmt: skip


def _unique(count: int, make: Any) -> list[str]:
    """`count` different strings from a function of a running number."""
    found: dict[str, None] = {}
    number = 0
    while len(found) < count:
        found.setdefault(make(number))
        number += 1
    return list(found)


def _assets(dice: Dice, count: int) -> list[str]:
    def make(number: int) -> str:
        folder, ending = ASSETS[dice.below(len(ASSETS))]
        revision = f".{dice.below(1 << 24):06x}" if dice.below(2) else ""
        return f"{folder}{dice.pick(WORDS)}{revision}{ending}"

    return ["/favicon.ico", "/static/css/site.css", "/static/js/app.js", "/static/img/logo.svg", *_unique(count, make)][
        :count
    ]


def _pages(dice: Dice, count: int) -> list[str]:
    def make(number: int) -> str:
        topic = dice.pick(TOPICS)
        if topic in ("blog", "news", "events"):
            return f"/{topic}/20{18 + dice.below(8)}/{1 + dice.below(12):02d}/{dice.pick(WORDS)}-{dice.pick(WORDS)}/"
        return f"/{topic}/{dice.pick(WORDS)}/{dice.pick(WORDS)}.html"

    return ["/", "/status/", "/docs/", "/news/", "/support/", *_unique(count, make)][:count]


def _queries(dice: Dice, count: int) -> list[str]:
    def make(number: int) -> str:
        word = dice.pick(WORDS)
        return (
            f"/search?q={word}+{dice.pick(WORDS)}&page={1 + dice.below(20)}",
            f"/api/v2/jobs?id={100_000 + dice.below(900_000)}",
            f"/api/v2/nodes/{dice.pick('abcd')}{dice.below(1000):03d}/metrics?metric={word}&window={dice.below(60)}m",
            f"/wiki/index.php?title={word.title()}_{dice.pick(WORDS)}&action=history&offset={dice.below(500)}",
            f"/gallery?sort={dice.pick(('new', 'top', 'old'))}&tag={word}&from=%2Fhome%2F{dice.pick(WORDS)}",
            f"/api/v2/usage?project={word}{dice.below(300)}&month=2025-{1 + dice.below(12):02d}",
        )[dice.below(6)]

    return _unique(count, make)


def _downloads(dice: Dice, count: int) -> list[str]:
    def make(number: int) -> str:
        version = f"{dice.below(6)}.{dice.below(20)}.{dice.below(9)}"
        return f"/download/{dice.pick(WORDS)}/{dice.pick(WORDS)}-{version}{dice.pick(ARCHIVES)}"

    return _unique(count, make)


def _dead(dice: Dice, count: int) -> list[str]:
    def make(number: int) -> str:
        return f"/old/{dice.pick(WORDS)}/{dice.pick(WORDS)}{dice.below(100)}.{dice.pick(('html', 'php', 'asp', 'pdf'))}"

    return [*PROBES, *_unique(count - len(PROBES), make)]


def _moved(dice: Dice, count: int) -> list[str]:
    return _unique(count, lambda number: f"/{dice.pick(TOPICS)}/{dice.pick(WORDS)}{dice.below(40)}")


def _browser(dice: Dice, number: int) -> str:
    platform, version = PLATFORMS[number % len(PLATFORMS)], 140 - number // 6
    if number % 4 == 1:
        return f"Mozilla/5.0 ({platform}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
    if number % 4 == 2:
        return f"Mozilla/5.0 ({platform}) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/{600 + number}.1"
    patch = f"{dice.below(7000)}.{dice.below(200)}"
    return f"Mozilla/5.0 ({platform}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.{patch} Safari/537.36"


def _size(dice: Dice, kind: int) -> int:
    """The bytes of a path's answer: fixed for files, the middle of a distribution for what is computed."""
    spread = (dice.below(1000) + dice.below(1000)) / 1000  # 0 .. 2
    low, decades = {ASSET: (500, 1.5), PAGE: (3_000, 0.6), QUERY: (300, 1.0), DOWNLOAD: (60_000, 1.9)}.get(
        kind, (200, 0.3)
    )
    return int(low * 10 ** (decades * spread)) + dice.below(97)
