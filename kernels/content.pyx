"""The hash by which both ends of a message compare its content."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef extern from "content.h" nogil:
    uint64_t content_hash(const uint8_t *p, int64_t n, uint64_t seed, int wide)


def hash_bytes(const uint8_t[::1] data, uint64_t seed=0, bint wide=True):
    """Hash of a whole buffer; `wide=False` keeps to what every processor can, with the same result."""
    cdef uint64_t h
    cdef int64_t n = data.shape[0]
    with nogil:
        h = content_hash(&data[0] if n else NULL, n, seed, wide)
    return h
