"""Arrow columns to CSV and JSON lines text: numbers, times and strings spelled row by row into one buffer."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef extern from "textout.h":
    ctypedef struct textout_t:
        const int64_t *columns
        int64_t n_columns
        const uint8_t *labels
        const int64_t *label_ends
        const uint64_t *powers
        uint8_t delimiter
        int json
    int64_t write_rows(const textout_t *t, int64_t row, int64_t stop, uint8_t *out, int64_t capacity,
                       int64_t *used) nogil
    int64_t row_bytes_max(const textout_t *t, int64_t row) nogil


def write_text(const int64_t[:, ::1] columns, const uint8_t[::1] labels, const int64_t[::1] label_ends,
               const uint64_t[:, ::1] powers, int delimiter, bint json,
               int64_t row, int64_t stop, uint8_t[::1] out):
    """Spell rows `row` to `stop` into `out`; returns (next row, bytes written, bytes that the next row may need).

    `columns` has a line (kind, values, validity, offsets, start) for each column, see textout.h; `labels` holds the
    JSON labels with a byte more than needed, `label_ends` their ends, from 0. `powers` are those of decimal.h.
    When not even one row fits, the next row is `row` itself and the caller comes again with a larger `out`.
    """
    cdef textout_t t
    cdef int64_t used = 0, wanted = 0
    if columns.shape[0] == 0 or columns.shape[1] != 5 or label_ends.shape[0] != columns.shape[0] + 1:
        raise ValueError(f"columns of shape ({columns.shape[0]}, {columns.shape[1]}), expected (n > 0, 5)")
    if out.shape[0] == 0 or powers.shape[0] != 617 or powers.shape[1] != 2 or labels.shape[0] == 0:
        raise ValueError("an empty output buffer, no labels, or a table of powers that is not (617, 2)")
    t.columns = &columns[0, 0]
    t.n_columns = columns.shape[0]
    t.labels = &labels[0]
    t.label_ends = &label_ends[0]
    t.powers = &powers[0, 0]
    t.delimiter = <uint8_t>delimiter
    t.json = json
    with nogil:
        row = write_rows(&t, row, stop, &out[0], out.shape[0], &used)
        if row < stop:
            wanted = row_bytes_max(&t, row)
    return row, used, wanted
