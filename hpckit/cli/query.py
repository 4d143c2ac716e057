"""`hpckit query`: SQL over logs and tables, on one process or on all ranks of an mpirun."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hpckit.cli.options import Parser, RejectLimit, UsageError, add_checkpoint, positive, reject_limit, size

if TYPE_CHECKING:
    from hpckit.sources.counts import LineCounts
    from hpckit.spmd.context import Context
    from hpckit.sql.run import Prepared
    from hpckit.tables.execute import Outcome
    from hpckit.tables.options import RunOptions
    from hpckit.tables.spool import Spool

SHOWN_ROWS = 100


def parser() -> Parser:
    """The options of `hpckit query`."""
    options = Parser(
        "query",
        "Run SQL (DuckDB's dialect) over logs, CSV, JSON lines, Parquet, Arrow and HDF5. On N ranks the input is "
        "split\namong them and the answer is the same to the byte. FROM takes read_logs('PATH', 'FORMAT'), read_csv, "
        "read_json,\nread_parquet, read_hdf5(PATH, DATASET) or 'file.parquet'; paths may be globs or lists. Several "
        "statements\n"
        "over one input read it once. Every source also has the columns _file, _offset and _raw.",
        examples=[
            (
                "hpckit query \"SELECT level, count(*) AS n FROM read_logs('bgl.log', 'bgl') GROUP BY level\"",
                "messages by severity, on one process",
            ),
            (
                "mpirun -n 4 hpckit query -f report.sql --output report/ --rejects bad.jsonl --max-rejects 1%",
                "all statements of a file over one reading of the input: report/1.parquet, 2.parquet, …",
            ),
            (
                "hpckit query \"SELECT * FROM read_logs('app.log', '{time:%Y-%m-%d %H:%M:%S} {level} {message:rest}')"
                " WHERE level = 'ERROR'\" --output errors.csv",
                "a format of your own, written in place",
            ),
            ("hpckit query \"DESCRIBE read_logs('x.log', 'syslog')\"", "the columns and their types"),
        ],
    )
    options.add_argument("sql", nargs="?", metavar="SQL", help="one or more statements, separated by ;")
    options.add_argument("-f", "--file", metavar="FILE", help="read the statements from FILE (- for standard input)")
    options.add_argument(
        "-o", "--output", metavar="PATH", help="by its ending: .csv .tsv .jsonl .parquet .arrow .h5; PATH/ is a folder"
    )
    add_common(options)
    return options


def add_common(options: Parser) -> None:
    """The options of every command that reads a source and writes outputs."""
    output = options.add_argument_group("output")
    output.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    output.add_argument(
        "--rejects", metavar="PATH", help="write rejected records with file, offset and reason (.jsonl, .csv, …)"
    )
    output.add_argument(
        "--max-rejects", type=reject_limit, metavar="N|P%", help="fail when more lines are rejected (default: never)"
    )
    _add_reading(options)
    running = options.add_argument_group("running")
    running.add_argument(
        "--memory", type=size, metavar="SIZE", help="per rank (default: 70 %% of the node's over its ranks)"
    )
    running.add_argument("--scratch", metavar="DIR", help="where to spill (default: $SLURM_TMPDIR, $TMPDIR or /tmp)")
    add_checkpoint(running)
    running.add_argument(
        "--checkpoint-local",
        metavar="DIR",
        help="save into this folder on the node's own disk or in its memory; copied to --checkpoint in the background",
    )
    running.add_argument(
        "--profile", metavar="PATH", help="write seconds, bytes, rows and peak memory per phase and rank (JSON)"
    )
    running.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")


def _add_reading(options: Parser) -> None:
    reading = options.add_argument_group("reading text")
    reading.add_argument("--format-file", metavar="F", help="TOML with a log format of your own")
    reading.add_argument("--timezone", metavar="Z", default="", help="zone of times that carry none (default UTC)")
    reading.add_argument(
        "--year", type=positive, metavar="Y", help="year of times without one (default: from the file's date)"
    )
    reading.add_argument(
        "--validate", choices=["all", "used"], default="used", help="check all fields, or those the query uses"
    )
    reading.add_argument(
        "--split-size", type=size, default=64 << 20, metavar="SIZE", help="bytes dealt at a time (default 64MiB)"
    )
    reading.add_argument(
        "--max-line", type=size, default=16 << 20, metavar="SIZE", help="longer records are rejected (default 16MiB)"
    )


def run_options(args: argparse.Namespace) -> RunOptions:
    """The parsed options as the executor takes them."""
    from hpckit.sinks.scratch import scratch_folder
    from hpckit.sources.base import ReadOptions
    from hpckit.tables.options import RunOptions

    if args.checkpoint_local and not args.checkpoint:
        raise UsageError("--checkpoint-local needs --checkpoint, the folder that all nodes share")
    limit: RejectLimit | None = args.max_rejects
    read = ReadOptions(
        split_bytes=args.split_size,
        max_line_bytes=max(args.max_line, 1),
        validate_all=args.validate == "all",
        keep_rejects=bool(args.rejects),
        max_rejects=limit.count if limit else None,
        time_zone=args.timezone,
        year=args.year,
        format_file=args.format_file or "",
    )
    return RunOptions(
        read,
        args.memory,
        scratch_folder(args.scratch),
        progress=not args.quiet,
        checkpoint=args.checkpoint,
        checkpoint_every_s=args.checkpoint_every,
        checkpoint_local=args.checkpoint_local,
    )


def main(argv: list[str]) -> int:
    """Run the statements and write their results. Collective."""
    args = parser().parse_args(argv)
    if (args.sql is None) == (args.file is None):
        raise UsageError("give the SQL either as an argument or with -f FILE", "hpckit query")
    from hpckit.cli.startup import start_quickly
    from hpckit.spmd import world
    from hpckit.spmd.launch import launcher_rank

    start_quickly()
    if launcher_rank() == 0:  # before MPI starts: there root would wait for the slowest rank, here nobody waits for it
        from hpckit.cli.postponed import import_parser

        with suppress(Exception):  # an error comes again behind MPI_Init, where it ends the other ranks as well
            import_parser()
    ctx = world()
    start_s = time.monotonic()
    options = run_options(args)
    from hpckit.spmd.failpoints import fail_point
    from hpckit.spmd.losses import in_spite_of_losses

    text = args.sql if args.sql is not None else in_spite_of_losses(ctx, lambda: ctx.on_root(_read_script, args.file))
    from hpckit.sql.run import prepare, run_script

    def plan() -> tuple[Prepared, list[str | None]]:
        with ctx.phase("plan"):
            fail_point("plan")
            prepared = prepare(ctx, text, options)
            return prepared, ctx.on_root(check_outputs, prepared, args.output, args.rejects, args.overwrite)

    prepared, paths = in_spite_of_losses(ctx, plan)
    deliver = partial(finish_command, ctx, args, paths=paths, titles=prepared.texts, start_s=start_s)
    run_script(ctx, prepared, options, deliver)
    return 0


def finish_command(
    ctx: Context,
    args: argparse.Namespace,
    outcome: Outcome,
    *,
    paths: list[str | None],
    titles: list[str],
    start_s: float,
) -> None:
    """Write results and rejects, say what was read and written, write the profile. Collective; may be repeated."""
    overwrite, resumable = args.overwrite or outcome.again, bool(args.checkpoint)
    if any(path is not None and path.endswith(".parquet") for path in (*paths, args.rejects)):
        from hpckit.cli.postponed import import_parquet

        import_parquet()
    from hpckit.sinks import write

    if args.max_rejects is not None:
        args.max_rejects.check(outcome.counts)
    with ctx.phase("output"):
        _write(ctx, titles, outcome, paths, overwrite, resumable)
        if args.rejects:
            write(ctx, outcome.rejects, args.rejects, overwrite, resumable)
    if ctx.is_root and not args.quiet:
        _summarise(outcome.counts, paths, time.monotonic() - start_s)
    if args.profile:
        ctx.write_profile(args.profile)


def _read_script(path: str) -> str:
    from hpckit.errors import InputError

    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the statements cannot be read: {error}") from None


def check_outputs(prepared: Prepared, output: str | None, rejects: str | None, overwrite: bool) -> list[str | None]:
    """The output path of each statement (None: standard output), checked before any work is done. Local."""
    from hpckit.sinks import check_targets

    paths: list[str | None] = [plan.output for plan in prepared.plans]
    if output:
        unnamed = [i for i, path in enumerate(paths) if path is None]
        if output.endswith("/") or len(unnamed) > 1:
            Path(output).mkdir(parents=True, exist_ok=True)
            for i in unnamed:
                paths[i] = os.path.join(output, f"{i + 1}.parquet")
        elif unnamed:
            paths[unnamed[0]] = output
    check_targets([*paths, rejects], overwrite)
    return paths


def _write(
    ctx: Context, titles: list[str], outcome: Outcome, paths: list[str | None], overwrite: bool, resumable: bool
) -> None:
    from hpckit.sinks import write
    from hpckit.spmd.launch import on_terminal

    several = len(paths) > 1
    for number, (result, path) in enumerate(zip(outcome.results, paths, strict=True)):
        if path is not None:
            write(ctx, result.spool, path, overwrite, resumable)
        else:
            if several and ctx.is_root and on_terminal(sys.stdout):
                print(f"{number + 1}: {' '.join(titles[number].split())}", flush=True)
            if result.kind == "explain":
                ctx.on_root(_print_lines, result.spool)
            else:
                from hpckit.sinks.terminal import show

                show(ctx, result.spool, sys.stdout, SHOWN_ROWS)
            if several and ctx.is_root:
                print(flush=True)
        result.release(ctx)


def _print_lines(spool: Spool) -> None:
    """A plan as it is: one line of text a row."""
    for ordinal in spool.ordinals():
        for batch in spool.read(ordinal):
            print("\n".join(batch.column(0).to_pylist()), flush=True)


def _summarise(counts: LineCounts, paths: list[str | None], elapsed_s: float) -> None:
    written = "".join(f"\nhpckit: wrote {path}" for path in paths if path is not None)
    print(f"hpckit: {counts.summary()}; {elapsed_s:.2f} s{written}", file=sys.stderr, flush=True)
