"""Generated text: a function of kind, rows, seed and options; every line of the right form; skew, sessions, bursts."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest

from hpckit.generate.kinds import BLOCK_ROWS, KINDS, Generator, end_us

START = datetime(2025, 3, 3, tzinfo=timezone.utc)
START_US = int(START.timestamp()) * 1_000_000
ADDRESS = r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}"
QUOTED = r'"(?:[^"\\]|\\.)*"'
NODE = r"R[0-7]{2}-M[01]-N[0-9A-F]-C:J(?:0[2-9]|1[0-7])-U[01]1|UNKNOWN_LOCATION"
LINES = {
    "access": rf'({ADDRESS}) - (\S+) \[(\d\d/[A-Z][a-z]{{2}}/\d{{4}}:\d\d:\d\d:\d\d) \+0000\] "(GET|POST|HEAD) (\S+) '
    rf'HTTP/[12]\.[01]" (\d{{3}}) (\d+|-) ({QUOTED}) ({QUOTED})',
    "bgl": rf"(-|[A-Z]+) (\d{{10}}) (\d{{4}}\.\d\d\.\d\d) ({NODE}) (\d{{4}}-\d\d-\d\d-\d\d\.\d\d\.\d\d\.\d{{6}}) (\S+) "
    r"RAS ([A-Z]+) (INFO|WARNING|ERROR|SEVERE|FAILURE|FATAL) ([^ ].*[^ ])",
    "syslog": r"([A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d) ([a-z]+\d+) ([A-Za-z]+)(?:\[(\d+)\])?: (.+)",
    "sensors": r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(n\d{4}),([a-z_]+),(\d+(?:\.\d{1,3})?)?,([A-Za-z/]*)",
}
TIMES = {
    "access": (3, "%d/%b/%Y:%H:%M:%S"),
    "bgl": (5, "%Y-%m-%d-%H.%M.%S.%f"),
    "syslog": (1, "%Y %b %d %H:%M:%S"),
    "sensors": (1, "%Y-%m-%d %H:%M:%S"),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def block(
    kind: str, number: int = 0, rows: int = BLOCK_ROWS, skip: int = 0, seed: int = 7, malformed: float = 0
) -> bytes:
    return bytes(Generator(KINDS[kind], seed, START_US, malformed).text(number, skip, rows))


@pytest.fixture(scope="module")
def blocks() -> dict[str, list[re.Match[str] | None]]:
    """The matches of the lines of block 1 of each kind."""
    return {k: [re.fullmatch(LINES[k], line) for line in block(k, 1).decode().splitlines()] for k in KINDS}


def moment(kind: str, match: re.Match[str]) -> datetime:
    group, pattern = TIMES[kind]
    text = f"2025 {match[group]}" if kind == "syslog" else match[group]
    return datetime.strptime(text, pattern).replace(tzinfo=timezone.utc)


@kinds
def test_every_line_has_the_form(kind: str, blocks: dict) -> None:
    assert len(blocks[kind]) == BLOCK_ROWS
    assert all(blocks[kind])


@kinds
def test_times_ascend_from_block_to_block(kind: str, blocks: dict) -> None:
    times = [moment(kind, match) for match in blocks[kind]]
    assert times == sorted(times)
    before = block(kind, 0).decode().splitlines()
    assert moment(kind, re.fullmatch(LINES[kind], before[0])) >= START
    assert moment(kind, re.fullmatch(LINES[kind], before[-1])) <= times[0]
    end = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(
        microseconds=end_us(KINDS[kind], START_US, 2 * BLOCK_ROWS)
    )
    assert times[-1] <= end <= times[-1] + timedelta(days=1)


@kinds
def test_seed_block_and_rows_decide_the_bytes(kind: str) -> None:
    whole = block(kind)
    assert block(kind) == whole
    assert block(kind, seed=8) != whole
    assert block(kind, number=1) != whole
    assert block(kind, rows=1000) == b"".join(whole.splitlines(keepends=True)[:1000])
    assert block(kind, rows=1000, skip=990) == b"".join(whole.splitlines(keepends=True)[990:1000])
    assert block(kind, rows=0) == block(kind, rows=10, skip=10) == b""
    assert block(kind, rows=1).count(b"\n") == 1


@kinds
def test_first_lines_differ_between_kinds_of_start(kind: str) -> None:
    later = Generator(KINDS[kind], 7, START_US + 400 * 86_400_000_000)
    match = re.fullmatch(LINES[kind], bytes(later.text(0, 0, 1)).decode().rstrip("\n"))
    assert match
    if kind != "syslog":  # which has no year
        assert 0 <= (moment(kind, match) - START).days - 400 <= 1
    else:
        assert match[1].startswith("Apr  7 00:00:")


@kinds
@pytest.mark.parametrize("share", [3.0, 100.0])
def test_malformed_lines_are_broken_and_leave_the_others_alone(kind: str, share: float) -> None:
    good = block(kind, rows=20_000).splitlines()
    bad = block(kind, rows=20_000, malformed=share).splitlines()
    assert len(bad) == len(good)
    broken = [line for line, whole in zip(bad, good, strict=True) if line != whole]
    # A line of 'sensors' that happens to be cut where it ends does not exist: cuts leave at most 11 bytes.
    assert abs(len(broken) - 200 * share) <= (150 if share < 100 else 0)
    assert not any(re.fullmatch(LINES[kind].encode(), line) for line in broken)
    assert all(broken) and any(b"\xf0" in line for line in broken)


def test_access_requests_look_real(blocks: dict) -> None:
    rows = [match.groups() for match in blocks["access"]]
    status = Counter(row[5] for row in rows)
    assert 0.7 < status["200"] / len(rows) < 0.88
    assert all(0.0005 < status[s] / len(rows) < 0.15 for s in ("304", "404", "301", "500", "206"))
    paths = Counter(row[4] for row in rows).most_common()
    assert paths[0][1] > 20 * paths[100][1] > 100 * paths[5000][1]
    assert sum("?" in path for path, _ in paths) > len(paths) / 3
    assert {row[6] for row in rows if row[5] == "304"} == {"-"}
    styles = {row[6] for row in rows if row[4] == "/static/css/site.css" and (row[3], row[5]) == ("GET", "200")}
    assert len(styles) == 1  # a file has one size
    assert len({row[6] for row in rows if row[4] == "/"}) > 100  # a computed page has many
    assert 150 < len({row[8] for row in rows}) <= 200
    assert any('\\"' in row[8] for row in rows)
    assert any(row[1] != "-" for row in rows)


def test_access_clients_come_in_sessions(blocks: dict) -> None:
    hosts = [match[1] for match in blocks["access"]]
    again = sum(one == other for one, other in pairwise(hosts)) / len(hosts)
    assert again > 0.4
    assert 2_000 < len(set(hosts)) < len(hosts) / 4
    agents: dict[str, set[str]] = {}
    for match in blocks["access"]:
        agents.setdefault(match[1], set()).add(match[9])
    assert max(map(len, agents.values())) == 1  # a client has one program


def test_access_load_follows_the_day() -> None:
    generator = Generator(KINDS["access"], 7, START_US)
    hours = Counter(
        datetime.strptime(match[3], TIMES["access"][1]).hour
        for number in range(40)
        for match in [re.fullmatch(LINES["access"], bytes(generator.text(number, 0, 1)).decode().rstrip())]
        if match
    )
    assert sum(hours.values()) == 40
    assert sum(hours[h] for h in range(8, 18)) > 2 * sum(hours[h] for h in range(0, 6))


def test_bgl_events_look_real(blocks: dict) -> None:
    rows = [match.groups() for match in blocks["bgl"]]
    levels = Counter(row[7] for row in rows)
    assert 0.7 < levels["INFO"] / len(rows) < 0.86
    assert 0.12 < levels["FATAL"] / len(rows) < 0.25
    assert set(levels) == {"INFO", "FATAL", "ERROR", "WARNING", "SEVERE", "FAILURE"}
    assert {row[6] for row in rows} >= {"KERNEL", "APP", "DISCOVERY", "MMCS", "LINKCARD"}
    assert all(row[3] == row[5] for row in rows)
    for label, epoch, date, _, stamp, *_ in rows[::97]:
        second = datetime.fromtimestamp(int(epoch), timezone.utc)
        assert second.strftime("%Y.%m.%d|%Y-%m-%d-%H.%M.%S") == f"{date}|{stamp[:19]}"
        assert label == "-" or label.isalpha()
    alerts = [row for row in rows if row[0] != "-"]
    assert 0.05 < len(alerts) / len(rows) < 0.2 and {row[7] for row in alerts} == {"FATAL"}
    # Messages without their numbers: the templates.
    templates = {re.sub(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+", "#", row[8]) for row in rows}
    assert 250 < len(templates) < 2_000


def test_bgl_bursts_stay_among_neighbours(blocks: dict) -> None:
    rows = [match.groups() for match in blocks["bgl"] if match[4] != "UNKNOWN_LOCATION"]
    nodes = Counter(row[3] for row in rows)
    assert len(nodes) > 5_000
    assert nodes.most_common(1)[0][1] > 20 * len(rows) / len(nodes)
    midplane_again = sum(a[3][:6] == b[3][:6] for a, b in pairwise(rows)) / len(rows)
    other_node = sum(a[3] != b[3] and a[3][:6] == b[3][:6] for a, b in pairwise(rows)) / len(rows)
    assert midplane_again > 0.5 and other_node > 0.1


def test_syslog_hosts_programs_and_pids(blocks: dict) -> None:
    rows = [match.groups() for match in blocks["syslog"]]
    hosts, programs = Counter(row[1] for row in rows), Counter(row[2] for row in rows)
    assert len(hosts) == 200 and hosts.most_common(1)[0][1] > 5 * len(rows) / len(hosts)
    assert {"sshd", "kernel", "systemd", "CRON"} < set(programs)
    assert all((row[3] is None) == (row[2] == "kernel") for row in rows)
    daemons: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if row[2] == "systemd":
            daemons.setdefault((row[1], row[2]), set()).add(row[3])
    assert max(map(len, daemons.values())) == 1  # a daemon keeps its process
    assert len({row[3] for row in rows if row[2] == "sshd"}) > 1_000


def test_sensors_are_complete_ticks_with_gaps_and_a_daily_wave(blocks: dict) -> None:
    rows = [match.groups() for match in blocks["sensors"]]
    ticks = Counter(row[0] for row in rows)
    assert set(ticks.values()) == {1024}
    assert len({row[1:3] for row in rows}) == 1024
    empty = sum(row[3] is None for row in rows) / len(rows)
    assert 0.002 < empty < 0.006
    generator = Generator(KINDS["sensors"], 7, START_US)
    means = []
    for hour in (3, 14):
        number = hour * 3600 * 1024 // 10 // BLOCK_ROWS
        lines = [line.split(",") for line in bytes(generator.text(number, 0, 8192)).decode().splitlines()]
        powers = [float(line[3]) for line in lines if line[2] == "power" and line[3]]
        means.append(sum(powers) / len(powers))
    assert means[1] > 1.1 * means[0]
