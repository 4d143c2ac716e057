"""MPI, or its stand-in for one process alone: the only module that imports mpi4py."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

from hpckit.spmd.alone import is_alone
from hpckit.spmd.launch import SURVIVE_VARIABLE, start_mpi_quickly

if TYPE_CHECKING:
    from mpi4py import MPI
elif is_alone() and "mpi4py" not in sys.modules:  # a program that uses MPI itself gets MPI
    from hpckit.spmd import alone as MPI
else:
    import mpi4py

    start_mpi_quickly()
    # Only the main thread calls MPI, but below "multiple" MPICH never gives its core away while it waits: with 3 ranks
    # on 2 cores an allreduce of one number took 6 ms instead of 0.03, with 2 ranks one of 4.8 MB 2.3 instead of 0.8.
    mpi4py.rc.thread_level = "multiple"
    mpi4py.rc.recv_mprobe = False
    if os.environ.get(SURVIVE_VARIABLE) == "1":
        mpi4py.rc.finalize = False  # MPI_Finalize may wait for the dead
    warnings.filterwarnings("ignore", "suspicious MPI execution environment")  # our world-size guard says what to do
    from mpi4py import MPI

__all__ = ["MPI"]
