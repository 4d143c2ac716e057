"""Progress: a bar on a terminal, a line every interval elsewhere, only on rank 0, scaled to all ranks."""

from __future__ import annotations

import io

from hpckit.spmd.progress import BAR_DELAY_S, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def scan(stream: io.StringIO, seconds: list[float], rank: int = 0, interval_s: float = 30.0) -> None:
    """Read 250 of 2000 MB (this rank: 1000) and 1,000 lines in each of these steps of time."""
    clock = Clock()
    with Progress(
        rank, "scan", 2_000_000_000, 1_000_000_000, stream=stream, line_interval_s=interval_s, clock=clock
    ) as progress:
        for step_s in seconds:
            clock.now_s += step_s
            progress.update(250_000_000, 1000)


def test_a_line_every_interval_with_figures_for_all_ranks() -> None:
    stream = io.StringIO()
    scan(stream, [20, 20, 10, 20])
    assert stream.getvalue().splitlines() == [
        "hpckit: scan: 50 %, ~1.0 of 2.0 GB, ~100 lines/s, 40 s left",
        "hpckit: scan: 100 %, ~2.0 of 2.0 GB, ~114 lines/s, 0 s left",
    ]


def test_nothing_before_the_first_interval_nor_on_other_ranks() -> None:
    stream = io.StringIO()
    scan(stream, [5, 5])
    scan(stream, [100, 100], rank=1)
    assert stream.getvalue() == ""


def test_the_interval_can_be_set() -> None:
    stream = io.StringIO()
    scan(stream, [1, 1], interval_s=0.5)
    assert len(stream.getvalue().splitlines()) == 2


def test_a_bar_on_a_terminal_is_redrawn_and_taken_off() -> None:
    stream = Terminal()
    scan(stream, [BAR_DELAY_S, 1, 100, 4000])
    frames = stream.getvalue().split("\r")[1:]
    assert frames[0].startswith("[======                  ] scan: 25 %, ~0.5 of 2.0 GB")
    assert "34 s left" in frames[2]
    assert frames[-2].strip() == ""
    assert frames[-1] == ""


def test_a_rank_without_a_share_shows_nothing() -> None:
    stream = io.StringIO()
    clock = Clock()
    progress = Progress(0, "scan", 100, 0, stream=stream, line_interval_s=0, clock=clock)
    clock.now_s += 5
    progress.update(0, 0)
    assert stream.getvalue() == ""
