"""`hpckit generate KIND PATH --rows N --seed S`: reproducible logs and tables to try things on."""

from __future__ import annotations

import argparse
import re
import sys
from datetime import datetime, timezone

from hpckit.cli.options import Parser, add_checkpoint, count, positive

KINDS = {  # kind: summary; hpckit/generate/kinds.py has the rest, but imports NumPy
    "access": "web server access log, Apache combined format, about 210 bytes a line",
    "bgl": "RAS events of a BlueGene/L, about 150 bytes a line",
    "syslog": "system messages of a cluster, RFC 3164, about 95 bytes a line",
    "sensors": "sensor readings, CSV with a header, about 47 bytes a line",
    "records": "records of 100 bytes with 10-byte keys, as the Sort Benchmark has them (binary)",
}
EXAMPLES = [
    ("hpckit generate access access.log --rows 10M --seed 1", "about 2 GB of web requests; the same bytes every time"),
    ("mpirun -n 4 hpckit generate bgl ras.log.gz --rows 5M --seed 2", "four ranks compress one file together"),
    ("hpckit generate syslog logs/ --rows 1M --files 8", "eight files, logs/syslog-0000.log and so on"),
    ("hpckit generate access bad.log --rows 100k --malformed 2%", "one line in fifty is broken, to try --rejects on"),
]


def parser() -> Parser:
    """The command's options."""
    command = Parser(
        "generate",
        "Write a log that looks real (skewed keys, sessions, bursts) and depends on the kind, the rows, the seed and\n"
        "the options alone: any number of ranks writes the same bytes.\n\nkinds:\n"
        + "\n".join(f"  {name:<10}{text}" for name, text in KINDS.items()),
        examples=EXAMPLES,
    )
    command.add_argument("kind", metavar="KIND", choices=list(KINDS), help=", ".join(KINDS))
    command.add_argument("path", metavar="PATH", help="the file to write (.gz: compressed), or a folder/ of files")
    command.add_argument(
        "--rows", metavar="N", type=rows, required=True, help="lines to write, e.g. 1000000, 500k, 10M"
    )
    command.add_argument("--seed", metavar="S", type=count, default=1, help="another seed, another log (default 1)")
    command.add_argument(
        "--start", metavar="TIME", type=time_us, help="time of the first line, UTC unless it has a zone"
    )
    command.add_argument(
        "--malformed", metavar="P%", type=percent, default=0.0, help="share of broken lines (default 0)"
    )
    command.add_argument(
        "--files", metavar="K", type=positive, help="make PATH a folder of K files (default for PATH/: 4)"
    )
    command.add_argument("--gzip", action="store_true", help="compress the files (implied by a PATH that ends in .gz)")
    command.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    add_checkpoint(command)
    return command


def rows(text: str) -> int:
    """argparse type: "1000000", "1_000_000", "500k", "10M", "1G" -> number of lines."""
    match = re.fullmatch(r"(\d[\d_]*)([kMG]?)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of lines, e.g. 1000000, 500k or 10M")
    return int(match[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[match[2]]


def percent(text: str) -> float:
    """argparse type: "2%", "0.5" -> percentage from 0 to 100."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", text.strip())
    if not match or float(match[1]) > 100:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a percentage from 0 to 100, e.g. 2%")
    return float(match[1])


def time_us(text: str) -> int:
    """argparse type: "2025-03-03", "2025-03-03 12:00:00", "…+01:00" -> microseconds since 1970, UTC."""
    try:
        moment = datetime.fromisoformat(re.sub("Z$", "+00:00", text))
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    if not 1970 < moment.year < 9000:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a time after 1970 such as 2025-03-03T12:00:00")
    whole = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (whole.days * 86400 + whole.seconds) * 1_000_000 + whole.microseconds


def main(argv: list[str]) -> int:
    """Run `hpckit generate`; returns the exit status, raises UserError for what cannot be done. Collective."""
    options = parser().parse_args(argv)
    from hpckit.errors import UserError
    from hpckit.generate.kinds import BINARY_KINDS
    from hpckit.generate.kinds import KINDS as TEXT_KINDS
    from hpckit.generate.layout import layout_of
    from hpckit.generate.write import Request, generate
    from hpckit.spmd import world

    if options.kind in BINARY_KINDS and options.malformed:
        raise UserError(f"--malformed breaks lines of text; {options.kind} have no lines, leave it out")
    kind = {**TEXT_KINDS, **BINARY_KINDS}[options.kind]
    layout = layout_of(options.path, kind.name, options.rows, options.files, options.gzip)
    start_us = time_us(kind.start) if options.start is None else options.start
    ctx = world()
    request = Request(kind, layout, options.seed, start_us, options.malformed)
    done = generate(ctx, request, options.overwrite, options.checkpoint, options.checkpoint_every)
    if ctx.is_root:
        place = f"{done.files} files in {layout.path}" if layout.is_folder else layout.path
        unit = "records" if kind.name in BINARY_KINDS else "lines"
        text = f"{place}: {done.rows:,} {unit}, {done.bytes:,} bytes in {done.elapsed_s:.1f} s"
        print(text, file=sys.stderr, flush=True)
    return 0
