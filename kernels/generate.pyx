# distutils: language = c
"""Blocks of generated text: access logs, RAS events, syslog and sensor readings, written into a caller's buffer.

Each class is built from a catalogue (a mapping of names to arrays and numbers, see hpckit/generate) and has one method,
fill(out, key, t0, t1, rows, skip, broken) -> (begin, end): rows skip .. rows-1 of the block are out[begin:end].
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

import numpy as np


cdef extern from "generate_text.h" nogil:
    int GEN_BLOCK_ROWS
    int GEN_LINE_MAX
    ctypedef struct GenPool:
        const uint8_t *bytes
        const int32_t *offsets
    ctypedef struct GenAlias:
        const uint32_t *cut
        const uint32_t *other
        uint32_t size


cdef extern from "generate_access.h" nogil:
    ctypedef struct AccessSite:
        GenPool paths, agents, users, elsewhere
        const uint8_t *kinds
        const uint32_t *sizes
        GenAlias popularity, browsers
        const uint32_t *exponential
        const uint32_t *lognormal
        uint32_t clients, people, bots, users_count, elsewhere_count
    uint8_t *access_block(const AccessSite *site, uint64_t key, int64_t t0, int64_t t1, int rows, int skip,
                          uint64_t broken, uint32_t *gaps, int64_t *times, uint8_t *out, int64_t *skipped)


cdef extern from "generate_events.h" nogil:
    ctypedef struct EventTable:
        GenPool literals, words, heads, labels, hosts
        const int32_t *first
        const uint8_t *kinds
        const int64_t *low
        const int64_t *span
        const uint8_t *spread
        const uint32_t *length
        const uint8_t *steady
        const uint8_t *pids
        GenAlias choice, places
        const uint32_t *exponential
    ctypedef struct EventLine:
        uint32_t template_, place
        uint64_t seed
    uint8_t *bgl_block(const EventTable *table, uint64_t key, int64_t t0, int64_t t1, int rows, int skip,
                       uint64_t broken, uint32_t *gaps, int64_t *times, EventLine *lines, uint8_t *out,
                       int64_t *skipped)
    uint8_t *syslog_block(const EventTable *table, uint64_t key, int64_t t0, int64_t t1, int rows, int skip,
                          uint64_t broken, uint32_t *gaps, int64_t *times, EventLine *lines, uint8_t *out,
                          int64_t *skipped)


cdef extern from "generate_sensors.h" nogil:
    ctypedef struct SensorTable:
        GenPool nodes, names, units
        const int64_t *base
        const int64_t *daily
        const int64_t *noise
        const int64_t *spike
        const uint8_t *digits
        const int32_t *wave
        uint32_t nodes_count, names_count
        int64_t tick_us
    uint8_t *sensor_block(const SensorTable *table, uint64_t key, uint64_t seed_key, int64_t t_start, int64_t first_row,
                          int rows, int skip, uint64_t broken, uint8_t *out)


BLOCK_ROWS = GEN_BLOCK_ROWS
BUFFER_BYTES = GEN_BLOCK_ROWS * GEN_LINE_MAX


cdef class _Catalogue:
    """The arrays of a catalogue, kept alive and handed out as raw pointers, and the scratch of one block."""

    cdef dict _entries
    cdef list _kept
    cdef uint32_t[::1] _gaps
    cdef int64_t[::1] _times

    def __init__(self, dict entries):
        self._entries = entries
        self._kept = []
        self._gaps = np.empty(GEN_BLOCK_ROWS, np.uint32)
        self._times = np.empty(GEN_BLOCK_ROWS, np.int64)

    cdef const uint8_t *bytes_of(self, name) except NULL:
        cdef const uint8_t[::1] view = self._entries[name]
        self._kept.append(view)
        return &view[0]

    cdef const int32_t *int32_of(self, name) except NULL:
        cdef const int32_t[::1] view = self._entries[name]
        self._kept.append(view)
        return &view[0]

    cdef const uint32_t *uint32_of(self, name) except NULL:
        cdef const uint32_t[::1] view = self._entries[name]
        self._kept.append(view)
        return &view[0]

    cdef const int64_t *int64_of(self, name) except NULL:
        cdef const int64_t[::1] view = self._entries[name]
        self._kept.append(view)
        return &view[0]

    cdef GenPool pool(self, name) except *:
        cdef GenPool pool
        pool.bytes = self.bytes_of(name + ".bytes")
        pool.offsets = self.int32_of(name + ".offsets")
        return pool

    cdef GenAlias alias(self, name) except *:
        cdef GenAlias alias
        alias.cut = self.uint32_of(name + ".cut")
        alias.other = self.uint32_of(name + ".other")
        alias.size = <uint32_t>len(self._entries[name + ".cut"])
        return alias

    cdef uint8_t *checked(self, uint8_t[::1] out, int rows, int skip) except NULL:
        """The start of `out`, if it holds a block of the longest lines and 0 <= skip <= rows <= BLOCK_ROWS."""
        if out.shape[0] < BUFFER_BYTES or not 0 <= skip <= rows <= GEN_BLOCK_ROWS:
            raise ValueError(f"buffer of {out.shape[0]} bytes, rows {skip} to {rows}: need {BUFFER_BYTES} bytes and "
                             f"rows within {GEN_BLOCK_ROWS}")
        return &out[0]


cdef class AccessKernel(_Catalogue):
    """Web server access log, Apache combined format."""

    cdef AccessSite _site

    def __init__(self, dict entries):
        super().__init__(entries)
        self._site.paths = self.pool("paths")
        self._site.agents = self.pool("agents")
        self._site.users = self.pool("users")
        self._site.elsewhere = self.pool("elsewhere")
        self._site.kinds = self.bytes_of("path_kinds")
        self._site.sizes = self.uint32_of("path_sizes")
        self._site.popularity = self.alias("popularity")
        self._site.browsers = self.alias("browsers")
        self._site.exponential = self.uint32_of("exponential")
        self._site.lognormal = self.uint32_of("lognormal")
        self._site.clients = entries["clients"]
        self._site.people = entries["people"]
        self._site.bots = entries["bots"]
        self._site.users_count = len(entries["users.offsets"]) - 1
        self._site.elsewhere_count = len(entries["elsewhere.offsets"]) - 1

    def fill(self, uint8_t[::1] out, uint64_t key, int64_t t0, int64_t t1, int rows, int skip, uint64_t broken):
        """Write a block of requests; times ascend within [t0, t1) microseconds."""
        cdef uint8_t *start = self.checked(out, rows, skip)
        cdef uint8_t *end
        cdef int64_t skipped = 0
        with nogil:
            end = access_block(&self._site, key, t0, t1, rows, skip, broken, &self._gaps[0], &self._times[0], start,
                               &skipped)
        return skipped, end - start


cdef class EventKernel(_Catalogue):
    """Event logs built from templates: BlueGene/L RAS (`layout` 'bgl') or RFC 3164 syslog ('syslog')."""

    cdef EventTable _table
    cdef uint8_t[::1] _lines
    cdef bint _is_bgl

    def __init__(self, dict entries, layout):
        super().__init__(entries)
        self._is_bgl = {"bgl": True, "syslog": False}[layout]
        self._lines = np.empty(GEN_BLOCK_ROWS * sizeof(EventLine), np.uint8)
        self._table.literals = self.pool("literals")
        self._table.words = self.pool("words")
        self._table.heads = self.pool("heads")
        self._table.labels = self.pool("labels")
        self._table.hosts = self.pool("hosts")
        self._table.first = self.int32_of("first")
        self._table.kinds = self.bytes_of("part_kinds")
        self._table.low = self.int64_of("part_low")
        self._table.span = self.int64_of("part_span")
        self._table.spread = self.bytes_of("spread")
        self._table.length = self.uint32_of("length")
        self._table.steady = self.bytes_of("steady")
        self._table.pids = self.bytes_of("pids")
        self._table.choice = self.alias("choice")
        self._table.places = self.alias("places")
        self._table.exponential = self.uint32_of("exponential")

    def fill(self, uint8_t[::1] out, uint64_t key, int64_t t0, int64_t t1, int rows, int skip, uint64_t broken):
        """Write a block of events; times ascend within [t0, t1) microseconds."""
        cdef uint8_t *start = self.checked(out, rows, skip)
        cdef uint8_t *end
        cdef int64_t skipped = 0
        cdef EventLine *lines = <EventLine *>&self._lines[0]
        with nogil:
            if self._is_bgl:
                end = bgl_block(&self._table, key, t0, t1, rows, skip, broken, &self._gaps[0], &self._times[0], lines,
                                start, &skipped)
            else:
                end = syslog_block(&self._table, key, t0, t1, rows, skip, broken, &self._gaps[0], &self._times[0],
                                   lines, start, &skipped)
        return skipped, end - start


cdef class SensorKernel(_Catalogue):
    """Sensor readings as CSV rows, without the header."""

    cdef SensorTable _table

    def __init__(self, dict entries):
        super().__init__(entries)
        self._table.nodes = self.pool("nodes")
        self._table.names = self.pool("names")
        self._table.units = self.pool("units")
        self._table.base = self.int64_of("base")
        self._table.daily = self.int64_of("daily")
        self._table.noise = self.int64_of("noise")
        self._table.spike = self.int64_of("spike")
        self._table.digits = self.bytes_of("digits")
        self._table.wave = self.int32_of("wave")
        self._table.nodes_count = len(entries["nodes.offsets"]) - 1
        self._table.names_count = len(entries["names.offsets"]) - 1
        self._table.tick_us = entries["tick_us"]

    def fill(self, uint8_t[::1] out, uint64_t key, uint64_t seed_key, int64_t t_start, int64_t first_row, int rows,
             int skip, uint64_t broken):
        """Write rows first_row + skip .. first_row + rows - 1 of a series that begins at t_start microseconds."""
        cdef uint8_t *start = self.checked(out, rows, skip)
        cdef uint8_t *end
        with nogil:
            end = sensor_block(&self._table, key, seed_key, t_start, first_row, rows, skip, broken, start)
        return 0, end - start
