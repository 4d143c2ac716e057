"""How statements are run: everything that is not in the statements themselves."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from hpckit.frozen import frozen
from hpckit.sources.base import ReadOptions

CHECKPOINT_EVERY_S = 60.0


@frozen
class RunOptions:
    """How to read, how much memory, where to spill, and where and how often to save what was done.

    checkpoint        folder of the job's saved state (hpckit/checkpoint); None: nothing is saved
    checkpoint_local  folder on the node's own disk that is saved to first; None: straight to the shared one
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    memory_bytes: int | None = None
    scratch: Path | None = None
    progress: bool = False
    checkpoint: str | None = None
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    checkpoint_local: str | None = None
