"""Compiled kernels (built from kernels/*.pyx): raw buffers in, raw buffers out."""
