"""Where the time goes: seconds, rows, messages, bytes sent and bytes spilled per phase and rank, as one JSON file."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpckit.errors import OutputError

FIGURES = ("seconds", "bytes", "rows", "messages", "spilled_bytes")


@dataclass(slots=True)
class Phase:
    """The figures of one phase on this rank."""

    seconds: float = 0.0
    bytes: int = 0
    rows: int = 0
    messages: int = 0
    spilled_bytes: int = 0


class Profile:
    """Clock and counters of this rank. Phases nest; time counts for the innermost."""

    def __init__(self) -> None:
        self.phases: dict[str, Phase] = {}
        self._stack: list[Phase] = []
        self._since_s = time.perf_counter()
        self._started_s = self._since_s

    def _stop_clock(self) -> None:
        now_s = time.perf_counter()
        if self._stack:
            self._stack[-1].seconds += now_s - self._since_s
        self._since_s = now_s

    def enter(self, name: str) -> None:
        """Begin phase `name` inside the current one."""
        self._stop_clock()
        self._stack.append(self.phases.setdefault(name, Phase()))

    def leave(self) -> None:
        """End the current phase."""
        self._stop_clock()
        self._stack.pop()

    def count(self, bytes: int = 0, rows: int = 0, messages: int = 0, spilled_bytes: int = 0) -> None:
        """Add to the current phase; outside any, to the phase "other"."""
        phase = self._stack[-1] if self._stack else self.phases.setdefault("other", Phase())
        phase.bytes += bytes
        phase.rows += rows
        phase.messages += messages
        phase.spilled_bytes += spilled_bytes

    def to_dict(self) -> dict[str, Any]:
        """This rank's figures so far, for `write`."""
        return {
            "phases": {name: asdict(phase) for name, phase in self.phases.items()},
            "elapsed_s": time.perf_counter() - self._started_s,
            "memory_peak_bytes": memory_peak_bytes(),
        }

    @staticmethod
    def write(path: str, ranks: list[dict[str, Any]]) -> None:
        """Write the figures of all ranks (in rank order), with skew = max / mean over the ranks, to `path`."""
        names = list(dict.fromkeys(name for rank in ranks for name in rank["phases"]))
        phases = {}
        for name in names:
            of_ranks = [rank["phases"].get(name, asdict(Phase())) for rank in ranks]
            columns = {figure: [one[figure] for one in of_ranks] for figure in FIGURES}
            phases[name] = {**columns, "skew": {figure: _skew(columns[figure]) for figure in FIGURES}}
        peaks = [rank["memory_peak_bytes"] for rank in ranks]
        document = {
            "ranks": len(ranks),
            "elapsed_s": [rank["elapsed_s"] for rank in ranks],
            "memory_peak_bytes": peaks,
            "memory_skew": _skew(peaks),
            "phases": phases,
        }
        temporary = f"{path}.tmp"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
                file.write("\n")
            os.replace(temporary, path)
        except OSError as error:
            raise OutputError(f"{path}: the profile cannot be written: {error.strerror}") from error


def _skew(values: list[float]) -> float | None:
    """max / mean, 1.0 = even; None where nothing was counted."""
    total = sum(values)
    return round(max(values) * len(values) / total, 4) if total > 0 else None


def memory_peak_bytes() -> int:
    """Largest resident size of this program so far.

    ru_maxrss would also count what the process that started it had in memory: it survives the exec.
    """
    status = Path("/proc/self/status")
    if status.exists():  # Linux
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
