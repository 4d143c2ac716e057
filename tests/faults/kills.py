"""The kill campaign: ranks of running jobs are killed or stopped, at named places and at random times, job after job.

    python tests/faults/kills.py --count 1000 --seed 1             with Open MPI's Python; `make faults` does it
    python tests/faults/kills.py --seed 1 --only 417               one trial of that campaign again, with all its output

Each trial starts the same work under `hpckit run --survive --restarts 2` on 2, 3, 4 or 8 ranks, does its harm, and
compares the output byte by byte with that of a run without harm on one rank. The last lines count how trials ended:
in the job, by a restart, without any loss (the place was not passed), with other bytes, failed, hung.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from job import Result, run_job
from works import WORKS, Work

RANKS = (2, 3, 4, 8)
OPTIONS = ("--survive", "--restarts", "2", "--heartbeat", "3")
TIMEOUT_S = 90
BAD = ("other bytes", "failed", "hung")
BAD_MAX = 10  # then something is so wrong that more trials tell nothing new


@dataclass(frozen=True)
class Trial:
    """What is done to one job: ranks killed (or stopped) at named places, or at times after the first rank is up."""

    ranks: int
    places: tuple[str, ...]  # entries of HPCKIT_FAIL_AT
    times: tuple[tuple[float, int, signal.Signals], ...]  # (share of the undisturbed time, rank, signal)

    def __str__(self) -> str:
        late = [f"rank {rank} {number.name} after {share:.2f} of the time" for share, rank, number in self.times]
        return f"{self.ranks} ranks: " + ", ".join([*self.places, *late])


def draw(seed: int, number: int, work: Work, ranks_of: tuple[int, ...], most: int) -> Trial:
    """Trial `number` of the campaign `seed`, always the same."""
    rng = np.random.default_rng([seed, number])
    ranks = int(rng.choice(ranks_of))
    victims = min(most, 1 if ranks == 2 or rng.random() < 0.7 else int(rng.integers(2, ranks)))
    chosen = rng.choice(ranks, victims, replace=False).tolist()
    signals = [signal.SIGSTOP if rng.random() < 0.05 else signal.SIGKILL for _ in chosen]
    if rng.random() < 0.5:
        places = []
        for rank, number_ in zip(chosen, signals, strict=True):
            place, passed = work.places[int(rng.integers(len(work.places)))]
            places.append(f"{place}:{rank}:{int(rng.integers(1, passed + 1))}:{number_.name.removeprefix('SIG')}")
        return Trial(ranks, tuple(places), ())
    shares = rng.uniform(0.0, 1.0, victims).tolist()
    return Trial(ranks, (), tuple(sorted(zip(shares, chosen, signals, strict=True))))


def judge(result: Result, expected: dict[str, bytes], found: dict[str, bytes]) -> str:
    """How a trial ended, in one word."""
    if result.hung:
        return "hung"
    if result.status != 0:
        return "failed"
    if found != expected:
        return "other bytes"
    if result.restarts:
        return "restart"
    return "in the job" if result.lost else "no loss"


def main() -> int:
    """Run the campaign; 0 if every trial ended with the right bytes."""
    options = parse()
    work = WORKS[options.work]
    folder = Path(tempfile.mkdtemp(prefix="hpckit-faults-", dir=options.folder))
    try:
        return campaign(options, work, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def campaign(options: argparse.Namespace, work: Work, folder: Path) -> int:
    """All trials, or the one asked for."""
    work.prepare(folder)
    expected, usual_s = undisturbed(work, folder, options.ranks)
    print(f"{options.work}, seed {options.seed}: {len(expected)} files, undisturbed {usual_s:.1f} s", flush=True)
    counts: Counter[str] = Counter()
    seconds: list[float] = []
    numbers = range(options.count) if options.only is None else [options.only]
    for number in numbers:
        trial = draw(options.seed, number, work, options.ranks, options.victims)
        out, checkpoint = folder / "out", folder / "checkpoint"
        for path in (out, checkpoint):
            shutil.rmtree(path, ignore_errors=True)
        out.mkdir()
        times = [(share * usual_s, rank, kind) for share, rank, kind in trial.times]
        command = work.command(folder, out, checkpoint)
        result = run_job(trial.ranks, command, OPTIONS, TIMEOUT_S, ",".join(trial.places), times)
        ending = judge(result, expected, contents(out))
        counts[ending] += 1
        seconds += result.recovery_s
        if options.only is not None or ending in BAD:
            print(f"trial {number}, {trial}: {ending}, status {result.status}, {result.elapsed_s:.1f} s", flush=True)
            print(result.output[-9000:], flush=True)
            if sum(counts[ending] for ending in BAD) >= BAD_MAX:
                break
        elif ending == "restart":
            why = [line for line in result.output.splitlines() if "starting again" in line]
            print(f"trial {number}, {trial}: {ending}; {'; '.join(why)}", flush=True)
        if (number + 1) % 10 == 0:
            print(f"{number + 1} trials: {summary(counts)}", flush=True)
    print(f"{sum(counts.values())} trials: {summary(counts)}")
    if seconds:
        worst = f"largest {max(seconds):.2f} s"
        print(f"from a kill to the recovery told: median {statistics.median(seconds):.2f} s, {worst} ({len(seconds)})")
    return 1 if any(counts[ending] for ending in BAD) else 0


def undisturbed(work: Work, folder: Path, ranks: tuple[int, ...]) -> tuple[dict[str, bytes], float]:
    """What one rank alone writes, and how long a run on the most ranks takes once they are up."""
    out = folder / "expected"
    out.mkdir()
    alone = run_job(1, work.command(folder, out, None), [], TIMEOUT_S)
    if alone.status != 0:
        sys.exit(f"the undisturbed run failed with status {alone.status}:\n{alone.output}")
    again = folder / "again"
    again.mkdir()
    many = run_job(max(ranks), work.command(folder, again, None), ["--survive"], TIMEOUT_S)
    if many.status != 0 or contents(again) != contents(out):
        sys.exit(f"the undisturbed run on {max(ranks)} ranks differs (status {many.status}):\n{many.output}")
    return contents(out), max(0.2, many.worked_s)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file of a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def summary(counts: Counter[str]) -> str:
    return ", ".join(f"{ending} {count}" for ending, count in sorted(counts.items()))


def parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description="Kill ranks of running jobs and compare what comes out.")
    options.add_argument("--work", choices=WORKS, default="query")
    options.add_argument("--count", type=int, default=1000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", type=int, help="run this trial alone and print all it says")
    options.add_argument("--ranks", type=lambda text: tuple(map(int, text.split(","))), default=RANKS)
    options.add_argument("--victims", type=int, default=99, help="so many ranks of a job at most")
    options.add_argument("--folder", default="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    return options.parse_args()


if __name__ == "__main__":
    start_s = time.monotonic()
    status = main()
    print(f"{time.monotonic() - start_s:.0f} s")
    sys.exit(status)
