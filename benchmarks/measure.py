"""Measure whole processes: wall time of a command, and in runs of their own the peak memory of everything it starts.

And what every benchmark needs: the launcher, the options they share, the machine that it ran on.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

SAMPLE_S = 0.01
KIB = 1024
BIN = Path(sys.executable).parent  # mpirun and hpckit of this environment


@dataclass(frozen=True)
class Memory:
    """Peak resident bytes: of all processes of a command added up, and of the largest of them."""

    sum_bytes: int
    largest_bytes: int


def run_timed(command: list[str], output: Path) -> float:
    """Seconds from start to end of `command`, whose output goes to a file. SystemExit with that output if it fails."""
    with output.open("wb") as stream:
        start_s = time.perf_counter()
        status = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        elapsed_s = time.perf_counter() - start_s
    _check(status, command, output)
    return elapsed_s


def run_sampled(command: list[str], output: Path) -> Memory:
    """Peak memory of `command` and its descendants (VmHWM, which the kernel keeps exactly, read until they end).

    Not timed: the sampling costs some processor time. SystemExit with the command's output if it fails.
    """
    peaks: dict[tuple[int, bytes], int] = {}
    ended = threading.Event()
    with output.open("wb") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        sampler = threading.Thread(target=_sample, args=(process.pid, peaks, ended))
        sampler.start()
        status = process.wait()
        ended.set()
        sampler.join()
    _check(status, command, output)
    return Memory(sum(peaks.values()), max(peaks.values(), default=0))


def _check(status: int, command: list[str], output: Path) -> None:
    """SystemExit with what the command said, unless it ended well."""
    if status != 0:
        text = output.read_text(errors="replace")[-4000:] or "(it printed nothing)"
        raise SystemExit(f"exit status {status} of {' '.join(command)}\n{text}")


def _sample(root: int, peaks: dict[tuple[int, bytes], int], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_S):
        for pid in _descendants(root):
            name, peak = _name_and_peak(pid)
            # A launcher forks before it execs: what a process was under another name does not count twice.
            if peak:
                for other in [key for key in peaks if key[0] == pid and key[1] != name]:
                    del peaks[other]
                peaks[pid, name] = max(peak, peaks.get((pid, name), 0))


def _descendants(root: int) -> list[int]:
    """`root` and all processes below it that are alive."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_bytes().rpartition(b")")[2].split()
            except OSError:  # it ended while we looked
                continue
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _name_and_peak(pid: int) -> tuple[bytes, int]:
    """(program, VmHWM in bytes) of a process; 0 bytes if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_bytes().splitlines()
    except OSError:
        return b"", 0
    fields = dict(line.split(b":", 1) for line in lines if b":" in line)
    if b"VmHWM" not in fields:
        return b"", 0
    return fields[b"Name"].strip(), int(fields[b"VmHWM"].split()[0]) * KIB


def warm(path: Path) -> None:
    """Read a file once, so that all competitors find it in the page cache."""
    buffer = bytearray(4 << 20)
    with path.open("rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass


def mpirun(ranks: int) -> list[str]:
    """The launcher of this environment."""
    return [str(BIN / "mpirun"), "-n", str(ranks)]


def add_shared_options(
    parser: argparse.ArgumentParser, questions: Sequence[str], competitors: Sequence[str], repeats: str
) -> None:
    """Options of every benchmark; `repeats` says what is repeated."""
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help=f"{repeats} (default 5)")
    parser.add_argument("--only", nargs="+", choices=questions, default=[], help="just these questions")
    parser.add_argument("--skip", nargs="+", choices=competitors, default=[], help="leave these out")
    parser.add_argument("--data", type=Path, default=Path("bench-data"), metavar="DIR", help="where files are kept")
    parser.add_argument("--results", type=Path, default=Path("bench-results"), metavar="DIR", help="where results go")


def progress(result: dict[str, Any]) -> str:
    """One line of medians for a question that was measured."""
    parts = [f"{name} {entry['median_s']:.2f} s" for name, entry in result["competitors"].items()]
    return f"{result['question']:<8}" + "  ".join(parts)


def machine(names: Sequence[str]) -> dict[str, Any]:
    """What ran here: processor, system, Python, and the versions of the packages `names`."""
    cpus = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cpu": cpus[0] if cpus else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in names},
    }


def machine_text(about: dict[str, Any]) -> str:
    """One line of what `machine` found."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return f"{about['cpu']}, {about['cores']} cores, {about['system']}; Python {about['python']}, {versions}."


def _version(name: str) -> str:
    """As installed; hpckit also when it is used from its source tree."""
    if name == "hpckit":
        import hpckit

        return hpckit.__version__
    return version(name)
