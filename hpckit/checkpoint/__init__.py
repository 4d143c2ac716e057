"""Generations on disk: parts of a job's state in HDF5, restored on any number of ranks. See docs/checkpoint.md."""
