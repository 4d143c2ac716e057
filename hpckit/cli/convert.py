"""`hpckit convert`: any source into .parquet, .csv, .jsonl, .arrow or .h5, on one process or on all ranks."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from hpckit.cli.options import Parser
from hpckit.cli.query import add_common, finish_command, run_options

if TYPE_CHECKING:
    from hpckit.sources.base import OpenSource
    from hpckit.tables.plan import Source

ENDINGS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".arrow": "arrow",
    ".feather": "arrow",
}
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")


def parser() -> Parser:
    """The options of `hpckit convert`."""
    options = Parser(
        "convert",
        "Turn IN into OUT; both go by their endings. Logs need --format. The rows keep the order of the input, and OUT "
        "has\nthe same bytes at any number of ranks.",
        examples=[
            ("mpirun -n 4 hpckit convert 'logs/*.log.gz' bgl.parquet --format bgl", "logs to Parquet, rejects counted"),
            ("hpckit convert sensors.csv sensors.h5", "CSV to HDF5, types from the first 20,480 records"),
            (
                "hpckit convert app.log app.jsonl --format '{time:%Y-%m-%d %H:%M:%S} {level} {message:rest}'",
                "your own format",
            ),
        ],
    )
    options.add_argument("input", metavar="IN", nargs="+", help="files, globs or folders; the last path is OUT")
    options.add_argument(
        "--format", metavar="F", default="", help="log format of IN: a name of `hpckit formats` or a pattern"
    )
    options.add_argument("--dataset", metavar="D", help="HDF5: the dataset or group of IN")
    add_common(options)
    return options


def source_of(paths: list[str], log_format: str, dataset: str | None) -> Source:
    """The plan's source for the inputs: logs with a format, anything else by its ending."""
    from hpckit.errors import QueryError
    from hpckit.tables.plan import Source

    if log_format:
        return Source("logs", tuple(paths), (("format", log_format),))
    name = paths[0].lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    kind = next((kind for ending, kind in ENDINGS.items() if name.endswith(ending)), None)
    if kind is None:
        raise QueryError(
            f"{paths[0]}: its ending says neither {' '.join(ENDINGS)}; for a log give --format (`hpckit formats --try "
            f"{paths[0]}` guesses it)"
        )
    options: list[tuple[str, object]] = []
    if dataset is not None:
        options.append(("dataset", dataset))
    if name.endswith(".tsv"):
        options.append(("delim", "\t"))
    return Source(kind, tuple(paths), tuple(options))


def main(argv: list[str]) -> int:
    """Convert and say what was read and written. Collective."""
    args = parser().parse_args(argv)
    if len(args.input) < 2:
        parser().error("give the input and the output, e.g. hpckit convert app.csv app.parquet")
    *paths, target = args.input
    from hpckit.cli.startup import start_quickly
    from hpckit.spmd import world

    start_quickly()

    ctx = world()
    start_s = time.monotonic()
    options = run_options(args)
    from hpckit.sinks import check_targets
    from hpckit.sources.open import open_source
    from hpckit.spmd.losses import in_spite_of_losses
    from hpckit.tables.execute import run_plans
    from hpckit.tables.plan import Plan

    def plan() -> tuple[Source, OpenSource]:
        source = ctx.on_root(source_of, paths, args.format, args.dataset)
        opened = ctx.on_root(open_source, source, options.read)
        ctx.on_root(check_targets, [target, args.rejects], args.overwrite)
        return source, opened

    source, opened = in_spite_of_losses(ctx, plan)
    deliver = partial(finish_command, ctx, args, paths=[target], titles=[""], start_s=start_s)
    run_plans(ctx, [Plan(source, (), opened.schema)], {source: opened}, options, deliver)
    sys.stdout.flush()
    return 0
