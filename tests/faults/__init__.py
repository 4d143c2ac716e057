"""Faults on purpose: files in memory that lose what was not synced, ranks that are killed, parts that are damaged."""
