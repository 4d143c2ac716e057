"""Batch systems: write, submit, watch, requeue and resume jobs under Slurm. Nothing here imports MPI or reads data."""
