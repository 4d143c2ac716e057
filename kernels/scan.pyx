# distutils: language = c
"""The scan kernel: bytes of log records to columns, by a field program, with predicates on the raw bytes.

The caller describes the program with plain tuples (see `hpckit.sources.program`), owns the input buffer and calls
`Scanner.scan` until it says that the split is done; `Scanner.take` hands out the rows made so far.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

cdef extern from "Python.h":
    ctypedef struct PyObject
    PyObject *PyList_GET_ITEM(object array, Py_ssize_t i)
    Py_ssize_t Py_REFCNT(PyObject *item)

cdef extern from "scan_isa.h" nogil:
    enum:
        SCAN_LITERAL_MAX
        SCAN_ALTERNATIVES_MAX
        SCAN_PARTS_MAX
        SCAN_NULLS_MAX
        SCAN_START_MAX
        SCAN_PROGRAMS_MAX
        SCAN_PADDING
        TIME_OPS_MAX
        TIME_MEMO_MAX
        SIMD_LEVELS
        SCAN_CHUNK
    ctypedef struct intern_table:
        pass
    ctypedef struct scan_literal:
        uint64_t head, mask
        uint8_t bytes[24]
        int32_t length
    ctypedef struct scan_step:
        int32_t kind, field, skip, wide, min_width, fixed_width, or_end, blank, alternatives, plain, clears
        uint64_t kept
        scan_literal then
        scan_literal literal[4]
    ctypedef struct time_op:
        uint8_t kind, width
    ctypedef struct time_program:
        int32_t count, memo_ops, memo_width, day_ops, day_width, has_year, has_zone
        time_op ops[48]
        int64_t not_after_us
        int32_t zone_count
        int64_t *local_from_us
        int64_t *offset_us
        int32_t memo_set, tail_memo
        int64_t tail_width
    ctypedef struct scan_column:
        int32_t field, kind
        void *values
        uint8_t *valid
        int64_t nulls
        intern_table *dictionary
        uint8_t *text
        int64_t text_capacity
        time_program *time
        int32_t parts
        int32_t part[6]
        int32_t null_count
        scan_literal null[4]
        int32_t byte_array, null_digits
    ctypedef struct scan_bytes:
        const uint8_t *bytes
        int64_t length
        uint64_t head
    ctypedef struct scan_atom:
        int32_t kind, op, negate, plain
        scan_column *column
        int64_t value
        double number
        int32_t set_size
        scan_bytes *set
        scan_bytes *slots
    ctypedef struct scan_reject:
        int64_t offset, length
        int32_t reason, field
        int64_t lines, at
    ctypedef struct scan_state:
        int32_t mode, field_count
        scan_step *steps
        int32_t program_count
        int32_t program_stop[8]
        int32_t *absent
        int32_t absent_stop[8]
        uint8_t delimiter, quoting, ragged
        int32_t key_count, nested
        scan_bytes *keys
        int32_t start_length
        uint8_t start_kind[48]
        uint8_t start_byte[48]
        int32_t column_count
        scan_column *columns
        int64_t *row_offset
        int64_t rows, row_capacity
        int32_t atom_count, term_count
        scan_atom *atoms
        int32_t *term_stop
        scan_reject *rejects
        int64_t reject_count, reject_capacity
        int64_t lines, parsed, continuation, rejected, blank, late_lines, max_record, position
        int32_t skip_leading, skipping, seen_record, full_column
        int32_t *start
        int32_t *length
        uint8_t *flags
        int32_t chunk_max
    ctypedef int (*scan_function)(scan_state *, const uint8_t *, int64_t, int64_t, int64_t, int)
    ctypedef int64_t (*count_function)(const uint8_t *, int64_t, uint8_t)
    int simd_level()
    const char *simd_names[]
    const scan_function scan_variants[]
    const count_function count_variants[]
    void free_chunk_bytes(scan_state *s)
    void place_short(scan_atom *a)
    int parse_time(time_program *t, const uint8_t *p, int64_t n, int64_t *out_us)
    int c_parse_float "parse_float"(const uint8_t *p, int64_t n, double *out)
    int c_parse_int "parse_int"(const uint8_t *p, int64_t n, int64_t *out)
    int c_utf8_valid "utf8_valid"(const uint8_t *p, int64_t n)

PADDING = SCAN_PADDING
CHUNK_RANGES_MAX = 2048  # fields of all records of a chunk: their ranges stay in the cache
NEED_DATA, DONE, ROWS_FULL, REJECTS_FULL, DICTIONARY_FULL, TEXT_FULL, NO_MEMORY = range(7)
REASONS = ("good", "literal", "field_end", "int", "float", "time", "bool", "utf8", "json", "too_few", "too_many",
           "quote", "too_long", "orphan", "escape", "trailing")
REJECT_DTYPE = np.dtype([("offset", "i8"), ("length", "i8"), ("reason", "i4"), ("field", "i4"), ("lines", "i8"),
                         ("at", "i8")])
STEP_KINDS = {"literal": 1, "field": 2, "rest": 3, "spaces": 4, "optional": 5, "run": 6, "quoted": 7, "end": 8}
VALUE_KINDS = {"int": 1, "float": 2, "time": 3, "coded": 4, "text": 5, "bool": 6}
ATOM_KINDS = {"in": 1, "prefix": 2, "suffix": 3, "contains": 4, "int": 5, "float": 6, "time": 7, "null": 8}
OPS = {"=": 1, "!=": 2, "<": 3, "<=": 4, ">": 5, ">=": 6}
FIXED_WIDTH = {"Y": 4, "y": 2, "m": 2, "b": 3, "a": 3, "d": 2, "H": 2, "I": 2, "M": 2, "j": 3, "S": 2}


def simd():
    """Name of the instruction set that the scan uses on this CPU."""
    return simd_names[simd_level()].decode()


cdef _set_literal(scan_literal *target, bytes value):
    if len(value) > SCAN_LITERAL_MAX:
        raise ValueError(f"literal {value!r} is longer than {SCAN_LITERAL_MAX} bytes")
    cdef const uint8_t *p = value
    memcpy(target.bytes, p, len(value))
    target.length = len(value)
    target.head = int.from_bytes(value[:8], "little")
    target.mask = <uint64_t>-1 if len(value) >= 8 else (<uint64_t>1 << 8 * <uint64_t>len(value)) - 1


cdef class TimeParser:
    """A compiled strptime pattern; `zone` = (local_from_us, offset_us) arrays for times without a zone of their own."""

    cdef time_program program
    cdef object zone

    def __init__(self, pattern, zone=None, not_after_us=None):
        memset(&self.program, 0, sizeof(time_program))
        ops = compile_time(pattern)
        if len(ops) > TIME_OPS_MAX:
            raise ValueError(f"time pattern {pattern!r} is too long")
        for i, (kind, width) in enumerate(ops):
            self.program.ops[i].kind = ord(kind) if kind else 0
            self.program.ops[i].width = width
        self.program.count = len(ops)
        kinds = [kind for kind, _ in ops]
        self.program.has_year = any(kind in ("Y", "y", "s", "Q", "U") for kind in kinds)
        if not_after_us is not None:
            self.program.not_after_us = not_after_us
        self._plan_memo(ops, kinds)
        if zone is not None:
            self._set_zone(zone)

    def _plan_memo(self, ops, kinds):
        if "S" not in kinds or "p" in kinds or "I" in kinds or kinds.count("S") > 1:
            return
        second = kinds.index("S")
        before = sum(1 if not kind else FIXED_WIDTH.get(kind, 1 << 20) for kind in kinds[:second])
        behind = set(kinds[second + 1:]) - {"", "f", "F", "z"}
        if before > TIME_MEMO_MAX or behind:
            return
        self.program.memo_ops = second
        self.program.memo_width = before
        self.program.tail_memo = not set(kinds[second + 1:]) - {"", "z"}
        self.program.tail_width = -1
        clock = kinds[second - 4:second] == ["H", "", "M", ""] and second > 4
        if clock and "j" not in kinds and "H" not in kinds[:second - 4]:
            self.program.day_ops = second - 4
            self.program.day_width = before - 6

    def _set_zone(self, zone):
        cdef int64_t[::1] starts = np.ascontiguousarray(zone[0], np.int64)
        cdef int64_t[::1] offsets = np.ascontiguousarray(zone[1], np.int64)
        self.zone = (starts, offsets)
        self.program.local_from_us = &starts[0]
        self.program.offset_us = &offsets[0]
        self.program.zone_count = starts.shape[0]

    def set_not_after(self, int64_t us):
        """For patterns without a year: times are of the latest year that is not after this instant (UTC)."""
        self.program.not_after_us = us
        self.program.memo_set = 0

    def parse(self, bytes text):
        """UTC microseconds of one timestamp, or None."""
        cdef int64_t out
        cdef const uint8_t *p = text
        return out if parse_time(&self.program, p, len(text), &out) else None


def compile_time(pattern):
    """A strptime pattern as a list of (directive letter or "", width or literal byte)."""
    ops, i = [], 0
    raw = pattern.encode()
    while i < len(raw):
        c = chr(raw[i])
        if c != "%":
            ops.append(("", raw[i]))
            i += 1
            continue
        i += 1
        width = 0
        if raw[i:i + 2] == b".f":  # ".123", ",123456" or nothing
            ops.append(("F", 0))
            i += 2
            continue
        if i < len(raw) and chr(raw[i]) in "369":
            width = raw[i] - 48
            i += 1
        if i >= len(raw):
            raise ValueError(f"time pattern {pattern!r} ends in '%'")
        c = chr(raw[i])
        i += 1
        if c == "T":
            ops += [("H", 0), ("", 58), ("M", 0), ("", 58), ("S", 0)]
        elif c == "F":
            ops += [("Y", 0), ("", 45), ("m", 0), ("", 45), ("d", 0)]
        elif c == "h":
            ops.append(("b", 0))
        elif c == "%":
            ops.append(("", 37))
        elif c in "YymbBaAdejHIMSfpzZsQU":
            ops.append((c, width))
        else:
            raise ValueError(f"time pattern {pattern!r}: %{c} is not known; use one of %Y %y %m %d %e %b %B %a %A %H "
                             "%I %p %M %S %f %3f %6f %9f %.f %z %Z %s %Q %U %j")
    return ops


def asked_fields(columns, terms):
    """The fields that columns and predicates read."""
    read = [*columns, *(atom[3] for term in terms for atom in term)]
    return {field for column in read for field in (column["field"], *column.get("parts", ()))}


cdef class Scanner:
    """A field program with its output columns; one object scans many splits, one after the other."""

    cdef scan_state state
    cdef scan_function run
    cdef object keep        # Python objects whose memory the C structures point into
    cdef object column_kinds
    cdef object time_parsers
    cdef object arrays      # values and validity of the batch being filled
    cdef object offsets
    cdef object reject_bytes
    cdef readonly object dictionaries
    cdef object pool

    def __cinit__(self):
        memset(&self.state, 0, sizeof(scan_state))

    def __init__(self, *, mode, field_count, programs=(), columns=(), terms=(), keys=(), nested=False, delimiter=b",",
                 quoting=True, ragged=False, record_start="", row_capacity=32768, reject_capacity=4096,
                 max_record=16 << 20, text_capacity=8 << 20, level=None):
        """
        mode          1 pattern, 2 csv, 3 json, 4 logfmt
        programs      lists of steps (kind, field, skip, min_width, fixed_width, or_end, blank, literals[, then]) and
                      the fields that each may leave out; the first program that fits a record cuts it; in a run
                      skip is its number of fields and fixed_width that of the one with min_width, from 1
        columns       dicts: field, kind, null, time (TimeParser), parts, byte_array
        terms         lists of atoms (kind, op, negate, column dict, value)
        """
        level = simd_level() if level is None else level
        if not 0 <= level <= simd_level():
            raise ValueError(f"instruction set {level} is not available here")
        self.run = scan_variants[<int>level]
        self.keep = []
        self.pool = {}
        self.state.mode = mode
        self.state.field_count = field_count
        self.state.delimiter = delimiter[0]
        self.state.quoting = quoting
        self.state.ragged = ragged
        self.state.max_record = max_record
        self.state.row_capacity = row_capacity
        self.state.reject_capacity = reject_capacity
        self._allocate(field_count, programs, len(columns), keys)
        self.state.nested = nested
        self._set_programs(programs, asked_fields(columns, terms))
        self._set_record_start(record_start)
        self.column_kinds = [c["kind"] for c in columns]
        self.dictionaries = [None] * len(columns)
        self.time_parsers = []
        for i, column in enumerate(columns):
            self._set_column(&self.state.columns[i], column)
            self.state.columns[i].text_capacity = text_capacity
        self._set_terms(terms)
        self.reject_bytes = np.zeros(reject_capacity * sizeof(scan_reject), np.uint8)
        self.state.rejects = <scan_reject *><size_t>self.reject_bytes.ctypes.data
        self._fresh_batch()

    def __dealloc__(self):
        cdef int32_t i
        for i in range(self.state.atom_count):
            free(self.state.atoms[i].set)
            free(self.state.atoms[i].slots)
        for pointer in (<size_t>self.state.steps, <size_t>self.state.absent, <size_t>self.state.columns,
                        <size_t>self.state.keys, <size_t>self.state.atoms, <size_t>self.state.term_stop,
                        <size_t>self.state.start, <size_t>self.state.length, <size_t>self.state.flags):
            free(<void *><size_t>pointer)
        free_chunk_bytes(&self.state)

    def _allocate(self, field_count, programs, column_count, keys):
        step_count = sum(len(steps) for steps, _ in programs)
        absent_count = sum(len(absent) for _, absent in programs)
        self.state.column_count = column_count
        self.state.key_count = len(keys)
        self.state.steps = <scan_step *>calloc(step_count + 1, sizeof(scan_step))
        self.state.columns = <scan_column *>calloc(column_count + 1, sizeof(scan_column))
        self.state.keys = <scan_bytes *>calloc(len(keys) + 1, sizeof(scan_bytes))
        self.state.absent = <int32_t *>calloc(absent_count + 1, sizeof(int32_t))
        self.state.start = <int32_t *>calloc((field_count + 1) * SCAN_CHUNK, sizeof(int32_t))
        self.state.length = <int32_t *>calloc((field_count + 1) * SCAN_CHUNK, sizeof(int32_t))
        self.state.flags = <uint8_t *>calloc((field_count + 1) * SCAN_CHUNK, 1)
        self.state.chunk_max = min(SCAN_CHUNK, max(8, CHUNK_RANGES_MAX // (field_count + 1)))
        if not (self.state.steps and self.state.absent and self.state.columns and self.state.keys
                and self.state.start and self.state.length and self.state.flags):
            raise MemoryError("no memory for a scan")
        for i, key in enumerate(keys):
            self._set_bytes(&self.state.keys[i], key)

    def _set_programs(self, programs, asked):
        if len(programs) > SCAN_PROGRAMS_MAX:
            raise ValueError(f"{len(programs)} step programs, at most {SCAN_PROGRAMS_MAX} are possible")
        i = a = 0
        for k, (steps, absent) in enumerate(programs):
            for step in steps:
                self._set_step(&self.state.steps[i], step)
                fields = range(step[1], step[1] + (step[2] if step[0] == "run" else 1))
                for place, field in enumerate(fields):
                    if field in asked:
                        self.state.steps[i].kept |= <uint64_t>1 << <int>(place & 63)
                self.state.steps[i].clears = step[0] not in ("quoted", "rest") and not set(fields).isdisjoint(absent)
                i += 1
            for field in absent:
                self.state.absent[a] = field
                a += 1
            self.state.program_stop[k] = i
            self.state.absent_stop[k] = a
        self.state.program_count = len(programs)

    cdef _set_bytes(self, scan_bytes *target, bytes value):
        self.keep.append(value)
        target.bytes = value
        target.length = len(value)
        target.head = int.from_bytes(value[:8].ljust(8, b"\0"), "little")

    cdef _set_step(self, scan_step *target, step):
        kind, field, skip, min_width, fixed_width, or_end, blank, literals, *then = step
        _set_literal(&target.then, then[0] if then else b"")
        target.kind = STEP_KINDS[kind]
        target.field = field
        target.skip = skip
        target.min_width = min_width
        target.wide = fixed_width - 1 if kind == "run" else -1
        target.fixed_width = 0 if kind == "run" else fixed_width
        target.or_end = or_end
        target.blank = blank
        if len(literals) > SCAN_ALTERNATIVES_MAX:
            raise ValueError(f"a field has {len(literals)} ways to end, at most {SCAN_ALTERNATIVES_MAX} are possible")
        target.alternatives = len(literals)
        behind = then[0] if then else b""
        ends_there = not behind or (behind == literals[0] and not or_end) if literals else False
        target.plain = len(literals) == 1 and not (fixed_width or blank) and ends_there
        for i, literal in enumerate(literals):
            _set_literal(&target.literal[i], literal)

    def _set_record_start(self, mask):
        i = n = 0
        while i < len(mask):
            c = mask[i]
            if c == "\\":
                i += 1
                c = mask[i]
                kind = 0
            else:
                kind = ord(c) if c in "da." else 0
            if n == SCAN_START_MAX:
                raise ValueError(f"record_start {mask!r} is longer than {SCAN_START_MAX} bytes")
            self.state.start_kind[n] = kind
            self.state.start_byte[n] = ord(c)
            n += 1
            i += 1
        self.state.start_length = n

    cdef _set_column(self, scan_column *target, column):
        cdef TimeParser parser
        target.kind = VALUE_KINDS[column["kind"]]
        target.field = column["field"]
        target.byte_array = column.get("byte_array", False)
        parts = column.get("parts", ())
        if len(parts) > SCAN_PARTS_MAX or len(column.get("null", ())) > SCAN_NULLS_MAX:
            raise ValueError(f"a column may have {SCAN_PARTS_MAX} parts and {SCAN_NULLS_MAX} NULL tokens at most")
        target.parts = len(parts)
        for i, part in enumerate(parts):
            target.part[i] = part
        target.null_count = len(column.get("null", ()))
        for i, token in enumerate(column.get("null", ())):
            _set_literal(&target.null[i], token)
            target.null_digits |= token.strip().isdigit()
        if column["kind"] == "time":
            parser = column["time"]
            self.keep.append(parser)
            self.time_parsers.append(parser)
            target.time = &parser.program

    def _set_terms(self, terms):
        atoms = [atom for term in terms for atom in term]
        self.state.atoms = <scan_atom *>calloc(len(atoms) + 1, sizeof(scan_atom))
        self.state.term_stop = <int32_t *>calloc(len(terms) + 1, sizeof(int32_t))
        self.state.term_count = len(terms)
        self.state.atom_count = 0
        stop = 0
        for i, term in enumerate(terms):
            stop += len(term)
            self.state.term_stop[i] = stop
        for i, atom in enumerate(atoms):
            self._set_atom(&self.state.atoms[i], atom)
            self.state.atom_count += 1

    cdef _set_atom(self, scan_atom *target, atom):
        cdef scan_column *column
        kind, op, negate, column_dict, value = atom
        holder = np.zeros(sizeof(scan_column), np.uint8)
        self.keep.append(holder)
        column = <scan_column *><size_t>holder.ctypes.data
        self._set_column(column, column_dict)
        target.column = column
        target.kind = ATOM_KINDS[kind]
        target.op = OPS[op] if op else 0
        target.negate = negate
        target.plain = kind == "in" and column.field >= 0 and not column.null_count and not column.byte_array
        if kind in ("int", "time"):
            target.value = value
        elif kind == "float":
            target.number = value
        elif kind != "null":
            target.set = <scan_bytes *>calloc(len(value) + 1, sizeof(scan_bytes))
            target.set_size = len(value)
            for k, item in enumerate(value):
                self._set_bytes(&target.set[k], item)
            if kind == "in":
                place_short(target)

    def _array(self, shape, dtype):
        """A buffer nobody else holds any more, or a fresh one: first touch of new pages costs more than the fill."""
        cdef Py_ssize_t i
        free_list = self.pool.setdefault((shape, dtype), [])
        for i in range(len(free_list)):
            if Py_REFCNT(PyList_GET_ITEM(free_list, i)) == 1:  # only the list holds it: no batch, no view of one
                return free_list[i]
        array = np.empty(shape, dtype)
        if len(free_list) < 8:
            free_list.append(array)
        return array

    def _fresh_batch(self):
        cdef scan_column *column
        rows = self.state.row_capacity
        self.offsets = self._array(rows, "i8")
        self.state.row_offset = <int64_t *><size_t>self.offsets.ctypes.data
        self.arrays = []
        for i, kind in enumerate(self.column_kinds):
            column = &self.state.columns[i]
            shapes = {"float": ("f8", rows), "coded": ("i4", rows), "text": ("i4", rows + 1)}
            dtype, size = shapes.get(kind, ("i8", rows))
            values = self._array(size, dtype)
            valid = self._array(rows, "u1")
            text = None
            if kind == "text":
                text = self._array(column.text_capacity, "u1")
                column.text = <uint8_t *><size_t>text.ctypes.data
                values[0] = 0
            column.values = <void *><size_t>values.ctypes.data
            column.valid = <uint8_t *><size_t>valid.ctypes.data
            column.nulls = 0
            self.arrays.append((values, valid, text))
        self.state.rows = 0

    def set_dictionary(self, i, interner):
        """Codes of column i come from `interner` (hpckit._kernels.intern) from now on."""
        self.dictionaries[i] = interner
        self.state.columns[i].dictionary = <intern_table *><size_t>interner.pointer

    def set_not_after(self, us):
        """Years of timestamps without one: see TimeParser.set_not_after."""
        for parser in self.time_parsers:
            parser.set_not_after(us)

    def start_split(self, position, skip_leading, seen_record):
        """Begin at `position` of the buffer; with skip_leading, continuation lines there belong to the split before."""
        self.state.position = position
        self.state.skip_leading = skip_leading
        self.state.seen_record = seen_record
        self.state.skipping = 0

    def scan(self, const uint8_t[::1] buffer, int64_t limit, int64_t stop, int64_t base, bint final):
        """Scan records that start before `stop` in buffer[position:limit]; why it came back (NEED_DATA, …).

        The buffer has PADDING readable bytes behind `limit`; its first byte is byte `base` of the file; `final`: the
        file ends at `limit`.
        """
        cdef int status
        if buffer.shape[0] < limit + SCAN_PADDING:
            raise ValueError("input buffer without padding")
        with nogil:
            status = self.run(&self.state, &buffer[0], limit, stop, base, final)
        if status == NO_MEMORY:
            raise MemoryError("no memory to grow a string dictionary")
        return status

    @property
    def position(self):
        """Where in the buffer the next record starts."""
        return self.state.position

    @position.setter
    def position(self, int64_t value):
        self.state.position = value

    @property
    def rows(self):
        return self.state.rows

    @property
    def full_column(self):
        """The column whose dictionary or text is full."""
        return self.state.full_column

    def grow_text(self, i):
        """Double the room for the text of column i; only between batches."""
        self.state.columns[i].text_capacity *= 2

    def take(self):
        """The rows made so far: (offsets, [(values, valid or None, text or None)]); the scanner starts a new batch."""
        cdef int64_t rows = self.state.rows
        columns = []
        for i, (values, valid, text) in enumerate(self.arrays):
            size = rows + 1 if self.column_kinds[i] == "text" else rows
            columns.append((values[:size], valid[:rows] if self.state.columns[i].nulls else None, text))
        offsets = self.offsets[:rows]
        self.arrays = None
        self.offsets = None
        self._fresh_batch()
        return offsets, columns

    @property
    def has_rejects(self):
        """Whether take_rejects or take_late_lines would give any."""
        return self.state.reject_count > 0 or self.state.late_lines > 0

    def take_rejects(self):
        """Rejected records since the last call, a structured array of REJECT_DTYPE."""
        out = self.reject_bytes.view(REJECT_DTYPE)[:self.state.reject_count].copy()
        self.state.reject_count = 0
        return out

    def take_late_lines(self):
        """Lines that belong to the last reject that was taken: a record that is too long went on."""
        late = self.state.late_lines
        self.state.late_lines = 0
        return late

    def take_counts(self):
        """(lines, parsed, continuation, rejected, blank) since the last call."""
        out = (self.state.lines, self.state.parsed, self.state.continuation, self.state.rejected, self.state.blank)
        self.state.lines = self.state.parsed = self.state.continuation = self.state.rejected = self.state.blank = 0
        return out


def count_byte(const uint8_t[::1] buffer, uint8_t value):
    """How often `value` occurs in the buffer."""
    cdef int64_t total = 0
    if buffer.shape[0]:
        with nogil:
            total = count_variants[simd_level()](&buffer[0], buffer.shape[0], value)
    return total


def parse_float(bytes text):
    """The kernel's float parser, for tests: a float or None."""
    cdef double out
    cdef const uint8_t *p = text
    return out if c_parse_float(p, len(text), &out) else None


def parse_int(bytes text):
    """The kernel's integer parser, for tests: an int or None."""
    cdef int64_t out
    cdef const uint8_t *p = text
    return out if c_parse_int(p, len(text), &out) else None


def utf8_valid(bytes text):
    """The kernel's UTF-8 check, for tests."""
    cdef const uint8_t *p = text
    return bool(c_utf8_valid(p, len(text)))
