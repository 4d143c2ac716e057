"""Every line is accounted for: the counters of a scan and its rejected records."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import pyarrow as pa

REJECT_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("lines", pa.int64()),
        ("reason", pa.string()),
        ("text", pa.string()),
    ]
)


@dataclass(slots=True)
class LineCounts:
    """lines = parsed + continuation + rejected + blank, at every rank count; `reasons` counts rejected records."""

    lines: int = 0
    parsed: int = 0
    continuation: int = 0
    rejected: int = 0
    blank: int = 0
    bytes: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, other: LineCounts) -> None:
        """Merge the counts of another split or rank."""
        for item in fields(self):
            if item.name != "reasons":
                setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count

    def summary(self) -> str:
        """One line for the user."""
        text = (
            f"{self.lines:,} lines read = {self.parsed:,} parsed + {self.continuation:,} continuation"
            f" + {self.rejected:,} rejected + {self.blank:,} blank"
        )
        if self.reasons:
            worst = sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))
            text += " (" + ", ".join(f"{count:,} {reason}" for reason, count in worst[:4]) + ")"
        return text
