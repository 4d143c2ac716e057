"""Sort an array: one dataset of an HDF5 file, or a .npy file, into another.

    mpirun -n 4 python -m mpi4py jobs/sort_array.py run.h5 sorted.h5 --dataset energy --with time,position

Copy it and change it. Each rank reads its block, the sort leaves every rank with its block of the sorted whole, and all
ranks write one file. Columns given with --with travel along with their rows.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import hpckit as hk

HDF5 = (".h5", ".hdf5")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("input", help="HDF5 or .npy")
    parser.add_argument("output", help="HDF5 or .npy, as the input")
    parser.add_argument("--dataset", help="HDF5: the dataset to sort by (1-D)")
    parser.add_argument("--with", dest="along", default="", metavar="NAME,…", help="HDF5: datasets that travel along")
    parser.add_argument("--descending", action="store_true")
    parser.add_argument("--overwrite", action="store_true")
    return parser.parse_args()


def main() -> int:
    asked = options()
    is_hdf5 = asked.input.endswith(HDF5)
    if is_hdf5 != asked.output.endswith(HDF5) or is_hdf5 != bool(asked.dataset):
        raise hk.UserError("expected HDF5 to HDF5 with --dataset NAME, or .npy to .npy without it")
    if is_hdf5:
        names = [asked.dataset, *filter(None, asked.along.split(","))]
        key, *payload = [hk.arrays.from_hdf5(asked.input, name) for name in names]
        found = hk.arrays.sort_by(key, *payload, descending=asked.descending)
        hk.arrays.to_hdf5(dict(zip(names, found, strict=True)), asked.output, overwrite=asked.overwrite)
    else:
        key = hk.arrays.from_npy(asked.input)
        found = (hk.arrays.sort(key, descending=asked.descending),)
        hk.arrays.to_npy(found[0], asked.output, overwrite=asked.overwrite)
    blocks = np.diff(found[0].starts)
    if key.context.is_root:
        print(
            f"{len(key):,} rows of {key.dtype} sorted into {asked.output}, {blocks.min():,} to {blocks.max():,} a rank"
        )


if __name__ == "__main__":
    sys.exit(hk.program(main))
