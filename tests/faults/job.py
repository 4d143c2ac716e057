"""One job under `hpckit run`, disturbed from outside: ranks are found by the slots in which they count their work."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpckit.spmd.failpoints import VARIABLE
from hpckit.spmd.pulse import ENDED, SLOT, SLOT_BYTES

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Result:
    """How a job ended, what it said, and what is known of its losses."""

    status: int = -1
    output: str = ""
    elapsed_s: float = 0.0
    worked_s: float = 0.0  # since the first rank was up
    hung: bool = False
    lost: int = 0  # recoveries inside the job
    restarts: int = 0
    recovery_s: list[float] = field(default_factory=list)  # from a kill to the survivors' word that they go on


def run_job(
    ranks: int,
    command: Sequence[str],
    options: Sequence[str],
    timeout_s: float,
    places: str = "",
    times: Sequence[tuple[float, int, signal.Signals]] = (),
) -> Result:
    """Run `command` on so many ranks, send ranks their signals so many seconds after the first one is up, and wait."""
    argv = [sys.executable, "-m", "hpckit.cli.main", "run", "-n", str(ranks), *options, "--", *command]
    env = {**os.environ, "PYTHONFAULTHANDLER": "1", **({VARIABLE: places} if places else {})}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH", "")]))
    start_s = time.monotonic()
    process = subprocess.Popen(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    result, kills, up = Result(), list[float](), list[float]()
    reader = threading.Thread(target=_read, args=(process, result, kills), daemon=True)
    reader.start()
    harmer = threading.Thread(target=_harm, args=(process, list(times), kills, up), daemon=True)
    harmer.start()
    try:
        result.status = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        result.hung = True
        for pid in _ranks_of(process.pid).values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGABRT)  # says where it is
        time.sleep(2)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    reader.join(5)
    end_s = time.monotonic()
    result.elapsed_s, result.worked_s = end_s - start_s, end_s - (up[0] if up else start_s)
    return result


def _read(process: subprocess.Popen[str], result: Result, kills: list[float]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        result.output += line
        if re.match(r"hpckit run: lost rank", line):
            result.lost += 1
            if kills:
                result.recovery_s.append(time.monotonic() - kills[-1])
                kills.clear()
        result.restarts += "starting again" in line


def _harm(
    process: subprocess.Popen[str],
    times: list[tuple[float, int, signal.Signals]],
    kills: list[float],
    up: list[float],
) -> None:
    """Wait for the first rank, then send the signals at their times."""
    while process.poll() is None and not _ranks_of(process.pid):
        time.sleep(0.01)
    up.append(time.monotonic())
    for after_s, rank, number in times:
        time.sleep(max(0.0, up[0] + after_s - time.monotonic()))
        while process.poll() is None and rank not in (pids := _ranks_of(process.pid)):
            time.sleep(0.01)
        if process.poll() is not None:
            return
        try:
            os.kill(pids[rank], number)
        except ProcessLookupError:  # it has ended
            continue
        if number == signal.SIGKILL:
            kills.append(time.monotonic())


def _ranks_of(supervisor: int) -> dict[int, int]:
    """rank: process, of the job that this `hpckit run` has started."""
    found: dict[int, int] = {}
    for folder in ("/dev/shm", "/tmp"):
        for path in glob.glob(f"{folder}/hpckit-pulse-{socket.gethostname()}-{supervisor}-*"):
            try:
                data = Path(path).read_bytes()
            except OSError:
                continue
            for at in range(0, len(data) - SLOT.size + 1, SLOT_BYTES):
                pid, _, _, state = SLOT.unpack_from(data, at)
                if pid and state != ENDED:
                    found[at // SLOT_BYTES] = pid
    return found
