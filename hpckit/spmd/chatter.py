"""What Open MPI says on stderr of a job that goes on, or ends on purpose, is left out; all else passes unchanged."""

from __future__ import annotations

import os
import re
import threading

LINES = (b"NBC_Progress: an error ", b"Error in NBC_Start_round()")  # one for each message a dead rank did not answer
RULE = b"-" * 74  # above and below a text of Open MPI's own
BLOCKS = (  # our own message says why
    b"MPI_ABORT was invoked on rank",
    b"prterun has exited due to process rank",
    b"PRTE has lost communication with a remote daemon",
)
LOST = re.compile(rb"\s*Remote daemon: \[.*\] on node (\S+)")
READ_BYTES = 65536


class Filter:
    """Bytes in, the bytes to show out. What cannot be the beginning of something left out is passed on at once."""

    def __init__(self) -> None:
        self._held = b""  # the beginning of a line that may be left out
        self._rule = b""  # a rule of which it is not known what stands under it
        self._in_block = self._after_line = False
        self.lost: list[str] = []  # nodes that the launcher says it has lost

    def feed(self, data: bytes) -> bytes:
        """What to show of `data` and what was held before."""
        lines = (self._held + data.replace(b"\0", b"")).split(b"\n")
        self._held = lines.pop()
        shown = b"".join(self._line(line + b"\n") for line in lines)
        if self._held and not self._undecided(self._held):
            shown, self._held, self._rule = shown + self._rule + self._held, b"", b""
            self._after_line = False
        return shown

    def end(self) -> bytes:
        """What was held when the stream ended."""
        shown, self._held, self._rule = self._rule + self._held, b"", b""
        return b"" if self._in_block else shown

    def _line(self, line: bytes) -> bytes:
        text = line.rstrip(b"\n")
        if self._in_block:
            self._in_block = text != RULE
            if named := LOST.match(text):
                self.lost.append(named[1].decode(errors="replace"))
            return b""
        if text.startswith(LINES):
            self._after_line = True
            return self._take_rule()
        if self._after_line and not text:
            self._after_line = False
            return b""
        self._after_line = False
        if text == RULE and not self._rule:
            self._rule = line
            return b""
        if self._rule and text.startswith(BLOCKS):
            self._rule, self._in_block = b"", True
            return b""
        return self._take_rule() + line

    def _take_rule(self) -> bytes:
        rule, self._rule = self._rule, b""
        return rule

    def _undecided(self, start: bytes) -> bool:
        whole = (*LINES, RULE, *(BLOCKS if self._rule else ()))
        return self._in_block or any(text.startswith(start) or start.startswith(text) for text in whole)


class Relay:
    """A thread that passes what is read from one descriptor through a Filter to another."""

    def __init__(self, source: int, target: int) -> None:
        self._source, self._target = source, target
        self.chosen = Filter()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until all is passed on; not for ever, for a process that was left behind may hold the other end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while data := os.read(self._source, READ_BYTES):
            self._write(self.chosen.feed(data))
        self._write(self.chosen.end())

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._target, data) :]
            except OSError:  # nobody reads our stderr any more: go on reading, so that the ranks can go on writing
                return
