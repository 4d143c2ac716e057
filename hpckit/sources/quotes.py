"""Which CSV splits begin inside a quoted field: all ranks count the quotes of splits, parities are summed over them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpckit._kernels import scan
from hpckit.errors import InputError
from hpckit.partition import deal_by_weight
from hpckit.sources.files import InputFile
from hpckit.sources.splits import Split

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

BLOCK_BYTES = 4 << 20
QUOTE = ord('"')


def quote_parity(ctx: Context, files: Sequence[InputFile], splits: Sequence[Split]) -> dict[int, bool]:
    """By ordinal, for every split that does not begin its file: does an odd number of quotes precede it? Collective.

    The last split of a file is not counted, compressed files are not split.
    """
    counted = [s for s in splits if s.end < files[s.file].size and not files[s.file].compression]
    mine = deal_by_weight([s.weight for s in counted], ctx.size)[ctx.rank]
    own = np.zeros((len(mine), 2), np.int64)
    with ctx.agreed("counting quotes"):
        buffer = np.empty(BLOCK_BYTES, np.uint8) if mine else np.empty(0, np.uint8)
        for row, index in enumerate(mine):
            own[row] = counted[index].ordinal, count_quotes(files[counted[index].file], counted[index], buffer) & 1
    odd = {int(ordinal): bool(parity) for part in ctx.allgather(own) for ordinal, parity in part}
    found: dict[int, bool] = {}
    inside = False
    for split in splits:
        if split.begin:
            found[split.ordinal] = inside
        inside = inside != odd[split.ordinal] if split.ordinal in odd else False
    return found


def count_quotes(file: InputFile, split: Split, buffer: np.ndarray) -> int:
    """Number of '"' in a split, read through `buffer`. Local."""
    total = 0
    with open(file.path, "rb", buffering=0) as stream:
        at = split.begin
        while at < split.end:
            got = os.preadv(stream.fileno(), [buffer[: split.end - at].data], at)
            if not got:
                raise InputError(f"{file.path}: shrank to {at} bytes while it was read; run the job again")
            total += scan.count_byte(buffer[:got], QUOTE)
            at += got
    return total
