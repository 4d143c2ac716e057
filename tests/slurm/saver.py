"""A program of many ranks that saves its work: digests of numbered units; it leaves with 75 when told to save.

usage: saver.py OUTPUT STATE UNITS SECONDS_EACH

Each rank writes down the units it has done; a later life, on any number of ranks, does those that nobody has. The
output is a line for each unit in order, so that it is the same whatever happened on the way.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from hpckit.errors import Interrupted
from hpckit.spmd.program import program, world

told: list[int] = []


def main() -> int:
    output, state = Path(sys.argv[1]), Path(sys.argv[2])
    units, seconds_each = int(sys.argv[3]), float(sys.argv[4])
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, lambda number, frame: told.append(number))
    context = world()
    state.mkdir(parents=True, exist_ok=True)
    done = context.bcast(load(state) if context.is_root else None)
    left = [unit for unit in range(units) if unit not in done]
    mine: dict[int, str] = {}
    own = state / f"{os.environ.get('SLURM_RESTART_COUNT', '0')}-{os.environ['SLURM_JOB_ID']}-{context.rank}.json"
    for i in range(0, len(left), context.size):
        for unit in left[i + context.rank : i + context.rank + 1]:
            time.sleep(seconds_each)
            mine[unit] = hashlib.sha256(str(unit).encode()).hexdigest()
            save(own, mine)
        if context.allreduce(len(told)):
            raise Interrupted(f"saved {len(done) + context.size * (i // context.size + 1)} units")
    parts = context.gather(mine)
    if context.is_root:
        for part in parts or []:
            done |= part
        part_file = output.with_suffix(".part")
        part_file.write_text("".join(f"{unit} {done[unit]}\n" for unit in range(units)))
        part_file.rename(output)
    return 0


def load(state: Path) -> dict[int, str]:
    """The units that all former lives have done."""
    done: dict[int, str] = {}
    for path in sorted(state.glob("*.json")):
        done |= {int(unit): digest for unit, digest in json.loads(path.read_text()).items()}
    return done


def save(own: Path, mine: dict[int, str]) -> None:
    part = own.with_suffix(".part")
    part.write_text(json.dumps(mine))
    part.rename(own)


def expected(units: int) -> str:
    """What OUTPUT must hold."""
    return "".join(f"{unit} {hashlib.sha256(str(unit).encode()).hexdigest()}\n" for unit in range(units))


if __name__ == "__main__":
    sys.exit(program(main))
