"""Restarts of a killed query on every pair of rank counts: the same bytes as without harm, however often it was killed.

    python tests/faults/restarts.py --seed 1 --ranks 1,2,3,4,8 --kills 2

For each pair N, M the query starts on N ranks with a checkpoint folder, is killed as a whole at random times (`--kills`
times, each start on N or M), and is taken up on M ranks. The last line counts pairs, kills, and the starts that went
on from saved work.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from kills import contents
from works import WORKS

from hpckit.spmd.mpirun import find_launcher

TIMEOUT_S = 120


def start(ranks: int, command: list[str]) -> subprocess.Popen[str]:
    """An hpckit command on so many ranks, as a process group of its own."""
    argv, environ = find_launcher().command(ranks, [sys.executable, "-m", "hpckit.cli.main", *command], os.environ)
    return subprocess.Popen(
        argv, env=environ, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def killed(process: subprocess.Popen[str], checkpoint: Path, rng: random.Random) -> tuple[bool, str]:
    """Kill all ranks some time after they saved something; (whether they were still at work, what they said)."""
    while process.poll() is None and not list(checkpoint.glob("part*")):
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.5))
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    return alive, process.communicate(timeout=TIMEOUT_S)[1]


def main() -> int:
    """All pairs; 0 if every one ended with the right bytes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ranks", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2, 3, 4, 8])
    parser.add_argument("--kills", type=int, default=2)
    options = parser.parse_args()
    rng, work = random.Random(options.seed), WORKS["query"]
    folder = Path(tempfile.mkdtemp(prefix="hpckit-restarts-"))
    kills = resumed = wrong = pairs = 0
    try:
        work.prepare(folder)
        quiet, out, checkpoint = folder / "quiet", folder / "out", folder / "checkpoint"
        quiet.mkdir()
        said = start(1, work.command(folder, quiet, None)).communicate(timeout=TIMEOUT_S)[1]
        expected = contents(quiet)
        assert expected, said
        for before, after in itertools.product(options.ranks, repeat=2):
            for path in (out, checkpoint):
                shutil.rmtree(path, ignore_errors=True)
            out.mkdir()
            command = work.command(folder, out, checkpoint)
            for number in range(options.kills):
                ranks = before if number == 0 else rng.choice([before, after])
                alive, said = killed(start(ranks, command), checkpoint, rng)
                kills += alive
                resumed += "going on from" in said
            last = start(after, command)
            said = last.communicate(timeout=TIMEOUT_S)[1]
            resumed += "going on from" in said
            pairs += 1
            if last.returncode != 0 or contents(out) != expected:
                wrong += 1
                print(f"{before} ranks, then {after}: status {last.returncode}\n{said}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{pairs} pairs, {kills} kills, {resumed} starts went on from saved work, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
