"""approx_count_distinct: HyperLogLog registers per group, fed with hashes that are the same on every rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hpckit._kernels.intern import string_buffers
from hpckit._kernels.sketch import HyperLogLogs, hash_strings
from hpckit.aggregates.spec import STRING
from hpckit.aggregates.words import binary_rows, from_binary

if TYPE_CHECKING:
    from hpckit._kernels.intern import Interner
    from hpckit.aggregates.views import ArgView


class DistinctSketches:
    """An estimate of the number of different values of each group, standard error 0.58 %."""

    def __init__(self, kind: pa.DataType) -> None:
        self._is_string = kind == STRING
        self._registers = HyperLogLogs()
        self._dictionary: Any = None
        self._hashes = np.zeros(0, np.uint64)

    def resize(self, groups: int) -> None:
        self._registers.resize(groups)

    def update(self, ids: np.ndarray, view: ArgView, positions: np.ndarray) -> None:
        if not self._is_string:
            # a word is its own hash: the registers mix it
            self._registers.add(ids, view.equality_words.view(np.uint64), view.use)
        elif view.coded is not None:
            hashes = self._entry_hashes(view.coded.dictionary)
            self._registers.add_coded(ids, view.coded.codes, hashes, view.mask)
        elif not pa.types.is_null(view.column.type):
            offsets, data, _ = string_buffers(view.column)
            hashes = np.empty(len(ids), np.uint64)
            hash_strings(offsets, data, hashes)
            self._registers.add(ids, hashes, view.use)

    def _entry_hashes(self, dictionary: Interner) -> np.ndarray:
        """Hashes of a dictionary's entries, kept until it grows."""
        if self._dictionary is not dictionary or len(self._hashes) < len(dictionary):
            self._dictionary, self._hashes = dictionary, dictionary.hashes()
        return self._hashes

    @property
    def values(self) -> np.ndarray:
        """float64 estimate of each group."""
        return self._registers.estimates()

    def columns(self) -> dict[str, pa.Array]:
        return {"registers": binary_rows(*self._registers.to_bytes())}

    def absorb(self, ids: np.ndarray, columns: dict[str, pa.Array]) -> None:
        self._registers.add_bytes(ids, *from_binary(columns["registers"]))

    @property
    def nbytes(self) -> int:
        return self._registers.nbytes + self._hashes.nbytes
