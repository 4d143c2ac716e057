"""Values of a user's loop as parts and back: what is spread over the ranks, and what is the same on all of them."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hpckit.checkpoint.content import Part
from hpckit.errors import UserError
from hpckit.frozen import frozen

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

SCALARS = (str, bool, int, float, type(None))


@frozen
class Parts:
    """An Arrow table of which each rank has its own rows."""

    table: pa.Table

    def __post_init__(self) -> None:
        if not isinstance(self.table, pa.Table):
            raise UserError(f"parts: {type(self.table).__name__}: expected a pyarrow.Table with this rank's rows")


def as_json(value: Any, name: str) -> Any:
    """`value` as JSON gives it back. Local. UserError for what JSON does not hold."""
    if isinstance(value, SCALARS):
        return value
    if isinstance(value, list | tuple):
        return [as_json(item, name) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: as_json(item, name) for key, item in value.items()}
    if isinstance(value, np.integer | np.floating | np.bool_):
        return value.item()
    what = "a dict with keys that are no text" if isinstance(value, dict) else type(value).__name__
    raise UserError(
        f"checkpoint: {name}: {what} cannot be saved; expected a distributed array, a NumPy array, a pyarrow.Table, "
        "ck.parts(table), bytes, numbers, text, None, or lists and dicts of these last"
    )


def pack(ctx: Context, state: dict[str, Any]) -> Part:
    """This rank's part of the values. Collective. UserError if what should be the same on all ranks is not."""
    from hpckit.arrays.array import DistArray

    kinds: dict[str, dict[str, Any]] = {}
    tables: dict[str, pa.Table] = {}
    arrays: dict[str, np.ndarray] = {}
    with ctx.agreed("saving a checkpoint"):
        for name, value in state.items():
            if isinstance(value, DistArray):
                kinds[name] = {"kind": "blocks", "dtype": value.dtype.str, "shape": list(value.shape[1:])}
                arrays[name] = value.local
            elif isinstance(value, Parts):
                kinds[name] = {"kind": "parts"}
                tables[name] = value.table
            elif isinstance(value, pa.Table):
                kinds[name] = {"kind": "table", "digest": _table_digest(value)}
                tables[name] = value
            elif isinstance(value, np.ndarray | np.generic):
                array = _array(name, value)
                kinds[name] = {"kind": "array", "digest": _digest(array.dtype.str, array.shape, array)}
                arrays[name] = array
            elif isinstance(value, bytes | bytearray):
                arrays[name] = np.frombuffer(value, np.uint8)
                kinds[name] = {"kind": "bytes", "digest": _digest("", (), arrays[name])}
            else:
                kinds[name] = {"kind": "json", "value": as_json(value, name)}
    _check_same(ctx, kinds)
    if not ctx.is_root:  # what is the same everywhere is saved once
        spread = {name for name, facts in kinds.items() if facts["kind"] in ("blocks", "parts")}
        tables = {name: table for name, table in tables.items() if name in spread}
        arrays = {name: array for name, array in arrays.items() if name in spread}
    return Part(meta={"values": kinds}, tables=tables, arrays=arrays)


def _array(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise UserError(
            f"checkpoint: {name}: an array of Python objects cannot be saved; give it a dtype of fixed size"
        )
    return array


def _digest(kind: str, shape: tuple[int, ...], array: np.ndarray) -> str:
    import xxhash

    data = np.ascontiguousarray(array).reshape(-1)
    return xxhash.xxh3_64_hexdigest(f"{kind}{shape}".encode() + b"\0" + data.tobytes())


def _table_digest(table: pa.Table) -> str:
    """Of schema and values, however they are cut into chunks."""
    import xxhash

    sink = pa.BufferOutputStream()
    whole = table.combine_chunks()
    with pa.ipc.new_stream(sink, whole.schema) as stream:
        stream.write_table(whole)
    return xxhash.xxh3_64_hexdigest(sink.getvalue())


def _check_same(ctx: Context, kinds: dict[str, dict[str, Any]]) -> None:
    """UserError on all ranks unless all save the same names of the same kinds, and equal values where these are not
    spread over the ranks."""
    texts = {name: json.dumps(facts, sort_keys=True) for name, facts in kinds.items()}
    number = int.from_bytes(hashlib.blake2b(json.dumps(texts).encode(), digest_size=7).digest(), "little")
    if ctx.allreduce(number, "min") == ctx.allreduce(number, "max"):
        return
    first, theirs = ctx.bcast(texts), texts
    with ctx.agreed("saving a checkpoint"):
        if list(theirs) != list(first):
            raise UserError(
                f"checkpoint: rank {ctx.rank} saves {', '.join(theirs) or 'nothing'}, rank 0 saves "
                f"{', '.join(first) or 'nothing'}; expected the same names in the same order on all ranks"
            )
        for name in [name for name in theirs if theirs[name] != first[name]]:
            raise UserError(
                f"checkpoint: {name} on rank {ctx.rank} is not what it is on rank 0; what differs between ranks is "
                "saved as an array of hpckit.arrays (from_local) or as ck.parts(table)"
            )


def unpack(ctx: Context, parts: list[Part]) -> dict[str, Any]:
    """The saved values on every rank, from the parts of which each rank has neighbours in rank order. Collective."""
    parts = sorted(parts, key=lambda part: part.name)  # of one life: the name goes by rank
    holder = ctx.allgather(bool(parts)).index(True)  # it has what rank 0 saved
    kinds: dict[str, dict[str, Any]] = ctx.bcast(parts[0].meta["values"] if ctx.rank == holder else {}, holder)
    state: dict[str, Any] = {}
    for name, facts in kinds.items():
        kind = facts["kind"]
        if kind == "json":
            state[name] = facts["value"]
        elif kind == "blocks":
            state[name] = _blocks(ctx, [part.arrays[name] for part in parts], facts)
        elif kind == "parts":
            state[name] = _shares(ctx, [part.tables[name] for part in parts])
        elif kind == "table":
            state[name] = ctx.bcast_table(parts[0].tables[name] if ctx.rank == holder else None, holder)
        else:
            array = _bcast(ctx, parts[0].arrays[name] if ctx.rank == holder else None, holder)
            state[name] = array.tobytes() if kind == "bytes" else array if array.ndim else array[()]
    return state


def _bcast(ctx: Context, array: np.ndarray | None, root: int) -> np.ndarray:
    """An array of any fixed-size dtype, a copy that may be changed. Collective."""
    from hpckit.arrays.moving import bcast_array

    facts: Any = None if array is None else (np.lib.format.dtype_to_descr(array.dtype), array.shape)
    descr, shape = ctx.bcast(facts, root)
    dtype = np.lib.format.descr_to_dtype(descr)
    if not math.prod(shape) or not dtype.itemsize:
        return np.zeros(shape, dtype)
    data = None if array is None else np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return bcast_array(ctx, data, root).copy().view(dtype).reshape(shape)


def _blocks(ctx: Context, arrays: list[np.ndarray], facts: dict[str, Any]) -> Any:
    """A distributed array from blocks in rank order, in canonical blocks. Collective."""
    from hpckit.arrays.array import DistArray
    from hpckit.arrays.moving import redistribute

    nothing = np.zeros((0, *facts["shape"]), np.dtype(facts["dtype"]))
    local = np.concatenate([nothing, *arrays])  # a copy: restored blocks may be changed
    return redistribute(DistArray.from_local(local, ctx))


def _shares(ctx: Context, tables: list[pa.Table]) -> pa.Table:
    """This rank's equal share of the rows of all, in their order. Collective."""
    from hpckit.arrays.moving import canonical_starts

    schemas = ctx.allgather(tables[0].schema.serialize().to_pybytes() if tables else None)
    schema = pa.ipc.read_schema(pa.py_buffer(next(s for s in schemas if s is not None)))
    table = pa.concat_tables([schema.empty_table(), *tables]) if tables else schema.empty_table()
    before, total = ctx.exscan_sum(table.num_rows), ctx.allreduce(table.num_rows)
    starts = canonical_starts(total, ctx.size)
    places = np.searchsorted(starts[1:], np.arange(before, before + table.num_rows), side="right")
    return ctx.exchange(table, places.astype(np.int32))
