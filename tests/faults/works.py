"""What the campaigns disturb: commands with deterministic output, and the places where their ranks can fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent.parent

QUERIES = """\
SELECT node, count(*) AS n, min(time) AS first, avg(epoch) AS mean FROM {source} GROUP BY node;
SELECT level, component, count(DISTINCT node) AS nodes FROM {source} GROUP BY level, component;
SELECT node, time, message FROM {source} WHERE level = 'FATAL' ORDER BY message, time;
SELECT _offset, node FROM {source} LIMIT 20
"""


@dataclass(frozen=True)
class Work:
    """Something to run.

    prepare(folder)                     makes its input
    command(folder, out, checkpoint)    what to start; writes below `out` only
    places                              (fail point, how often a rank passes it at most)
    """

    prepare: Callable[[Path], None]
    command: Callable[[Path, Path, Path | None], list[str]]
    places: tuple[tuple[str, int], ...]


def _spmd(folder: Path, out: Path, checkpoint: Path | None) -> list[str]:
    del folder, checkpoint
    return ["python", str(TESTS / "survive_program.py"), str(out / "counts.csv")]


def _make_log(folder: Path) -> None:
    log = folder / "bgl.log"
    command = ["generate", "bgl", str(log), "--rows", "60000", "--seed", "5"]
    subprocess.run([sys.executable, "-m", "hpckit.cli.main", *command], check=True, cwd=TESTS.parent)
    (folder / "queries.sql").write_text(QUERIES.format(source=f"read_logs('{log}', 'bgl')"))


def _query(folder: Path, out: Path, checkpoint: Path | None) -> list[str]:
    saving = ["--checkpoint", str(checkpoint), "--checkpoint-every", "0.1s"] if checkpoint else []
    writing = ["--output", f"{out}/results/", "--overwrite", "--split-size", "100K"]
    return ["query", "-f", str(folder / "queries.sql"), *writing, *saving]


def _make_records(folder: Path) -> None:
    command = ["generate", "records", str(folder / "in.dat"), "--rows", "200k", "--seed", "5"]
    subprocess.run([sys.executable, "-m", "hpckit.cli.main", *command], check=True, cwd=TESTS.parent)


def _sort_records(folder: Path, out: Path, checkpoint: Path | None) -> list[str]:
    saving = ["--checkpoint", str(checkpoint), "--checkpoint-every", "0.1s"] if checkpoint else []
    argv = ["sort", str(folder / "in.dat"), str(out / "out.dat"), "--records", "100", "--key", "2"]
    return [*argv, "--overwrite", "--split-size", "20K", *saving]


def _sort_records_unsaved(folder: Path, out: Path, checkpoint: Path | None) -> list[str]:
    return _sort_records(folder, out, None)


SORT_PLACES = (("output", 1), ("output.whole", 1), ("output.named", 1))

WORKS = {
    "spmd": Work(
        lambda folder: None,
        _spmd,
        (("start", 1), ("accumulate", 6), ("exchange", 2), ("arrays", 2), ("merge", 2), ("output", 1), ("settle", 2),
         ("commit", 1), ("end", 1)),
    ),
    "query": Work(
        _make_log,
        _query,
        (("plan", 1), ("scan.batch", 8), ("scan.end", 1), ("save", 3), ("saved", 3), ("finish", 1), ("exchange", 2),
         ("merge", 2), ("order", 3), ("output", 4), ("output.whole", 4), ("output.named", 4)),
    ),
    "records": Work(
        _make_records,
        _sort_records,
        (("run", 5), ("save", 2), ("checkpoint.unnamed", 3), ("saved", 2), ("merge", 1), *SORT_PLACES),
    ),
    "records-unsaved": Work(_make_records, _sort_records_unsaved, SORT_PLACES),
}  # fmt: skip
