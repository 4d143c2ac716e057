"""Results for people and pipes: a drawn table on a terminal, all rows as CSV when stdout goes elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hpckit.errors import OutputError
from hpckit.sinks.blocks import Regrouping
from hpckit.sinks.encode import TextEncoder
from hpckit.sinks.layout import Layout
from hpckit.spmd.launch import on_terminal

if TYPE_CHECKING:
    from hpckit.spmd.context import Context
    from hpckit.tables.spool import Spool

STREAM_ROWS = 1 << 16
CELL_CHARS_MAX = 60
STRING_CHARS_MIN = 12
GAP_CHARS = 2
NUMBERS = ("int64", "double", "duration[us]")
POSITION = "position in the result"  # hidden column, with a name that no query gives


def show(ctx: Context, spool: Spool, stream: IO[str], limit_rows: int = 100) -> int:
    """Print the rows of all ranks on root's `stream`; returns how many rows there are in all. Collective.

    On a terminal a table is drawn, with the first and last rows when there are more than `limit_rows`, and the first
    and last columns when they do not fit the width. Elsewhere all rows are written as CSV, streamed from the ranks to
    root 65,536 at a time. A reader that goes away (`| head`) ends the output quietly.
    """
    is_terminal = ctx.on_root(_is_terminal, stream)
    if is_terminal:
        return _show_table(ctx, spool, stream, max(2, limit_rows))
    return _stream_csv(ctx, spool, stream)


def _is_terminal(stream: IO[str]) -> bool:
    return on_terminal(stream)


@contextmanager
def _stream_errors() -> Iterator[None]:
    """Errors of the system as OutputError."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"standard output: {reason}; the result was cut off, write it with --output") from error


# CSV for pipes and files


def _stream_csv(ctx: Context, spool: Spool, stream: IO[str]) -> int:
    """Collective. Each round brings the next rows to root, which prints them; all stop when the reader is gone."""
    encoder = TextEncoder(spool.schema, "csv")
    blocks = Regrouping(ctx, spool, lambda block: 0, STREAM_ROWS)
    is_open = True
    with ctx.agreed("printing the result"), _stream_errors():
        if ctx.is_root:
            is_open = _print(stream, [encoder.header()])
    for received in blocks:
        with ctx.agreed("printing the result"), _stream_errors():
            if received is not None and is_open:
                for batch in received[1].to_batches():
                    is_open = is_open and _print(stream, encoder.encode(batch))
        if not ctx.bcast(is_open, root=0):
            break
    return blocks.total_rows


def _print(stream: IO[str], pieces: Any) -> bool:
    """Write encoded pieces to `stream`; False when its reader is gone."""
    try:
        buffer = getattr(stream, "buffer", None)
        stream.flush()
        for piece in pieces:
            if buffer is not None:
                buffer.write(piece)
            else:
                stream.write(bytes(piece).decode("utf-8", "replace"))
        stream.flush()
    except BrokenPipeError:
        _silence(stream)
        return False
    return True


def _silence(stream: IO[str]) -> None:
    """Point a broken pipe at the null device, so that the interpreter's last flush does not fail either."""
    try:
        descriptor = stream.fileno()
    except (OSError, AttributeError):
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


# A table for people


def _show_table(ctx: Context, spool: Spool, stream: IO[str], limit_rows: int) -> int:
    """Collective."""
    head, tail, total_rows = _ends(ctx, spool, limit_rows)
    with ctx.agreed("printing the result"), _stream_errors():
        if ctx.is_root:
            try:
                draw(head, tail, total_rows, stream)
                stream.flush()
            except BrokenPipeError:
                _silence(stream)
    return total_rows


def _ends(ctx: Context, spool: Spool, limit_rows: int) -> tuple[pa.Table, pa.Table, int]:
    """The first and the last rows of the result, on root; few rows are all in the first table. Collective."""
    statistics = spool.statistics()
    layout = Layout(ctx, statistics[:, 0], statistics[:, 1:2])
    total_rows = int(layout.totals[0])
    head_rows = total_rows if total_rows <= limit_rows else (limit_rows + 1) // 2
    tail_start = total_rows if total_rows <= limit_rows else total_rows - limit_rows // 2
    with ctx.agreed("collecting the rows to print"):
        wanted = []
        for ordinal in spool.ordinals():
            row = int(layout.start(ordinal)[0])
            if row >= head_rows and row + spool.rows(ordinal) <= tail_start:
                continue
            for batch in spool.read(ordinal):
                positions = np.arange(row, row + batch.num_rows)
                mask = pa.array((positions < head_rows) | (positions >= tail_start))
                table = pa.Table.from_batches([batch]).append_column(POSITION, pa.array(positions))
                wanted.append(table.filter(mask))
                row += batch.num_rows
        schema = spool.schema.append(pa.field(POSITION, pa.int64()))
        mine = pa.concat_tables([schema.empty_table(), *wanted])
    rows = ctx.gather_table(mine, root=0)
    if rows is None:
        rows = schema.empty_table()
    rows = rows.take(pa.array(np.argsort(rows.column(POSITION).to_numpy(), kind="stable")))
    rows = rows.drop_columns([POSITION])
    return rows.slice(0, head_rows), rows.slice(head_rows), total_rows


def draw(head: pa.Table, tail: pa.Table, total_rows: int, stream: IO[str], width: int | None = None) -> None:
    """Draw rows as a table: numbers to the right, NULL dim, long cells and superfluous columns cut. Local."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    cells = [_texts(head.column(i)) + _texts(tail.column(i)) for i in range(head.num_columns)]
    widths = [_width(n, c) for n, c in zip(head.column_names, cells, strict=True)]
    can_shrink = [pa.types.is_string(field.type) for field in head.schema]
    shown, widths = fitting_columns(widths, can_shrink, console.width)
    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for i in shown:
        if i is None:
            drawn.add_column("…", no_wrap=True)
            continue
        side: Any = "right" if str(head.schema.field(i).type) in NUMBERS else "left"
        name = Text(_printable(head.column_names[i]))
        drawn.add_column(name, justify=side, no_wrap=True, overflow="ellipsis", width=widths[i])
    gap = total_rows - head.num_rows - tail.num_rows
    for row in range(head.num_rows + tail.num_rows):
        if gap and row == head.num_rows:
            drawn.add_row(*[Text("…", style="dim") for _ in shown])
        texts = ["…" if i is None else cells[i][row] for i in shown]
        drawn.add_row(*[Text("NULL", style="dim") if t is None else Text(t) for t in texts])
    hidden = head.num_columns - sum(i is not None for i in shown)
    with console.capture() as captured:  # to the stream rich would write itself, and exit when its reader is gone
        console.print(drawn)
        console.print(Text(_note(total_rows, gap, head.num_columns, hidden), style="dim"))
    stream.write(captured.get())


def _note(total_rows: int, hidden_rows: int, columns: int, hidden_columns: int) -> str:
    """The line below the table."""
    note = f"{total_rows:,} row{'' if total_rows == 1 else 's'}"
    if hidden_rows:
        note += f", … {hidden_rows:,} more rows not shown"
    if hidden_columns:
        note += f", {hidden_columns} of {columns} columns not shown"
    return note


def fitting_columns(widths: list[int], can_shrink: list[bool], available: int) -> tuple[list[int | None], list[int]]:
    """Which columns fit into `available` characters, and how wide each is then.

    Only strings shrink, the widest first and none below 12 characters. If that is not enough, columns are left out
    from the middle, where the list has None; the first column is always shown.
    """
    needed = [min(w, STRING_CHARS_MIN) if s else w for w, s in zip(widths, can_shrink, strict=True)]
    shown = _from_both_ends(needed, available)
    columns = [i for i in shown if i is not None]
    room = available - GAP_CHARS * (len(shown) - 1) - (1 if None in shown else 0)
    cap = max(widths, default=0)
    while cap > STRING_CHARS_MIN and sum(min(widths[i], cap) if can_shrink[i] else widths[i] for i in columns) > room:
        cap -= 1
    return shown, [min(w, cap) if s else w for w, s in zip(widths, can_shrink, strict=True)]


def _from_both_ends(needed: list[int], available: int) -> list[int | None]:
    """All columns if they fit, else as many as do from both ends, with None between."""
    everything: list[int | None] = list(range(len(needed)))
    if not needed or sum(needed) + GAP_CHARS * (len(needed) - 1) <= available:
        return everything
    left: list[int | None] = [0]
    right: list[int | None] = []
    room = available - needed[0] - GAP_CHARS - 1
    low, high = 1, len(needed) - 1
    while low <= high:
        i = high if len(right) < len(left) else low
        room -= needed[i] + GAP_CHARS
        if room < 0:
            return [*left, None, *right]
        if i == high:
            right.insert(0, i)
            high -= 1
        else:
            left.append(i)
            low += 1
    return everything


def _width(name: str, cells: list[str | None]) -> int:
    return max([len(name), *(4 if cell is None else len(cell) for cell in cells)])


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    """The cells of a column as they are drawn; None for NULL."""
    if pa.types.is_string(column.type):
        return [None if value is None else _short(_printable(value)) for value in column.to_pylist()]
    encoder = TextEncoder(pa.schema([("cell", column.type)]), "csv")
    lines: list[str | None] = []
    for chunk in column.chunks:
        text = b"".join(bytes(piece) for piece in encoder.encode(pa.record_batch([chunk], names=["cell"])))
        lines.extend(line or None for line in text.decode().split("\n")[: len(chunk)])
    return lines


def _printable(text: str) -> str:
    """Text without control characters, which a log must not send to a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _short(text: str) -> str:
    return text if len(text) <= CELL_CHARS_MAX else text[: CELL_CHARS_MAX - 1] + "…"
