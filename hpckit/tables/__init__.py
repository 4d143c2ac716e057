"""The engine: lazy tables, their plan, and the executor that streams batches."""
