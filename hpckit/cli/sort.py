"""`hpckit sort`: any source, or a file of fixed-length records, sorted into a file; and the check of such a file."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from hpckit.cli.options import Parser, UsageError, positive
from hpckit.cli.query import add_common

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

LEAST_BYTES = 32 << 20  # of memory for the rows of a table, beside the program itself


def parser() -> Parser:
    """The options of `hpckit sort`."""
    options = Parser(
        "sort",
        "Sort IN into OUT: a table by columns (--by), kinds of file by their endings, or fixed-length records by their "
        "first\nbytes (--records). Equal keys keep the order of the input, and OUT has the same bytes at any number of "
        "ranks. What\ndoes not fit --memory goes to --scratch.",
        examples=[
            (
                'mpirun -n 4 hpckit sort events.parquet sorted.parquet --by "node, time desc"',
                "by two columns; NULL comes last unless the key says `nulls first`",
            ),
            (
                "mpirun -n 4 hpckit sort 'logs/*.log.gz' bgl.parquet --format bgl --by time",
                "logs of many files in the order of time",
            ),
            (
                "mpirun -n 8 hpckit sort input.dat output.dat --records 100 --key 10",
                "records of 100 bytes with keys of 10, as in the Sort Benchmark",
            ),
            (
                "mpirun -n 8 hpckit sort input.dat output.dat --records 100 --key 10 --check",
                "nothing is written: is output.dat input.dat sorted? Status 2 if not",
            ),
        ],
    )
    options.add_argument("input", metavar="IN", nargs="+", help="files, globs or folders; the last path is OUT")
    options.add_argument(
        "--by", metavar="KEYS", help='columns: "COL [desc] [nulls first], …"; other names in double quotes'
    )
    options.add_argument(
        "--records", type=positive, metavar="LEN", help="IN holds records of LEN bytes and nothing else"
    )
    options.add_argument("--key", type=positive, metavar="LEN", help="bytes of their keys (default: the whole record)")
    options.add_argument(
        "--check", action="store_true", help="check that OUT is IN sorted: order, rows, checksum; write nothing"
    )
    options.add_argument(
        "--format", metavar="F", default="", help="log format of IN: a name of `hpckit formats` or a pattern"
    )
    options.add_argument("--dataset", metavar="D", help="HDF5: the dataset or group of IN")
    add_common(options)
    return options


def main(argv: list[str]) -> int:
    """Sort or check, and say what was done. Collective."""
    args = parser().parse_args(argv)
    _check_arguments(args)
    from hpckit.cli.startup import start_quickly
    from hpckit.spmd import world

    start_quickly()
    ctx = world()
    start_s = time.monotonic()
    *paths, target = args.input
    if args.records is not None:
        text = _sort_records(ctx, args, paths, target)
    else:
        text = _sort_table(ctx, args, paths, target)
    if ctx.is_root and not args.quiet:
        print(f"hpckit: {text}; {time.monotonic() - start_s:.2f} s", file=sys.stderr, flush=True)
    if args.profile:
        ctx.write_profile(args.profile)
    return 0


def _check_arguments(args: argparse.Namespace) -> None:
    """UsageError for options that do not fit together."""
    prog = "hpckit sort"
    if len(args.input) < 2:
        raise UsageError("give the input and the output, e.g. hpckit sort in.parquet out.parquet --by time", prog)
    if (args.by is None) == (args.records is None):
        raise UsageError("say what to sort by: columns with --by, or --records LEN for fixed-length records", prog)
    if args.key is not None and args.records is None:
        raise UsageError("--key is the length of the keys of --records; columns are named with --by", prog)
    if args.records is not None:
        tables_only = {
            "--format": args.format,
            "--dataset": args.dataset,
            "--rejects": args.rejects,
            "--checkpoint-local": args.checkpoint_local,
        }
        for option in [name for name, value in tables_only.items() if value]:
            raise UsageError(f"{option} is for tables and logs, not for --records", prog)


def _sort_records(ctx: Context, args: argparse.Namespace, paths: list[str], target: str) -> str:
    """Sort or check records; returns what to say about it. Collective."""
    key = args.records if args.key is None else args.key
    if args.check:
        from hpckit.sorting.check import check_records

        checked = check_records(ctx, paths, target, args.records, key)
        return f"{target}: {checked.rows:,} records in order, those of the input; checksum {checked.checksum:016x}"
    from hpckit.sorting.records import sort_records
    from hpckit.spmd.memory import format_size

    done = sort_records(
        ctx,
        paths,
        target,
        args.records,
        key,
        args.memory,
        args.scratch,
        args.overwrite,
        progress=not args.quiet,
        checkpoint=args.checkpoint,
        checkpoint_every_s=args.checkpoint_every,
        split_bytes=args.split_size,
    )
    way = args.checkpoint or "scratch"
    spilled = f", {format_size(done.spilled_bytes)} by way of {way}" if done.spilled_bytes else ""
    return f"{done.rows:,} records ({format_size(done.bytes)}) sorted{spilled}; wrote {target}"


def _sort_table(ctx: Context, args: argparse.Namespace, paths: list[str], target: str) -> str:
    """Sort or check a table; returns what to say about it. Collective."""
    from hpckit.cli.convert import source_of
    from hpckit.cli.query import run_options
    from hpckit.sorting.key_text import parse_keys

    keys = ctx.on_root(parse_keys, args.by)
    options = run_options(args)
    source = ctx.on_root(source_of, paths, args.format, args.dataset)
    if args.check:
        from hpckit.tables.sort_check import check_source

        result = ctx.on_root(source_of, [target], "", None)
        checked = check_source(ctx, source, result, keys, options.read, target)
        return f"{target}: {checked.rows:,} rows in order, those of the input; checksum {checked.checksum:016x}"
    from hpckit.sorting.scratch import work_bytes
    from hpckit.tables.sort_files import sort_source

    with ctx.agreed("checking --memory"):
        if args.memory is not None:
            work_bytes(args.memory, LEAST_BYTES)
    done = sort_source(
        ctx,
        source,
        keys,
        target,
        overwrite=args.overwrite,
        memory_bytes=args.memory,
        scratch=args.scratch,
        read=options.read,
        progress=not args.quiet,
        rejects=args.rejects,
        accept=args.max_rejects.check if args.max_rejects is not None else None,
        checkpoint=args.checkpoint,
        checkpoint_every_s=args.checkpoint_every,
        checkpoint_local=args.checkpoint_local,
    )
    return f"{done.counts.summary()}; {done.rows:,} rows sorted; wrote {target}"
