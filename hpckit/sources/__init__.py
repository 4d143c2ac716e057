"""Bytes in: which files, which pieces of them, and how their records become batches of columns."""
