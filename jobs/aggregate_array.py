"""What an array holds, in one pass of a job: sum, mean, spread, extremes, quantiles and a histogram of a dataset.

    mpirun -n 4 python -m mpi4py jobs/aggregate_array.py run.h5 --dataset energy --bins 50 --output report.h5

Copy it and change it. Each rank reads its block of the first axis; results are the same bits at any number of ranks.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import hpckit as hk

SHARES = [0.01, 0.25, 0.5, 0.75, 0.99]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", help="a .npy or an HDF5 file")
    parser.add_argument("--dataset", default="data", help="the dataset of an HDF5 file (default: data)")
    parser.add_argument("--bins", type=int, default=20, help="bins of the histogram (default: 20)")
    parser.add_argument("--output", help="write histogram, edges and standardised values into this HDF5 file")
    parser.add_argument("--overwrite", action="store_true")
    return parser.parse_args()


def read(path: str, dataset: str) -> hk.arrays.DistArray:
    if path.endswith(".npy"):
        return hk.arrays.from_npy(path)
    return hk.arrays.from_hdf5(path, dataset)


def summary(x: hk.arrays.DistArray) -> dict[str, float]:
    """The figures, the same on every rank."""
    figures = {"values": x.size, "sum": x.sum(), "mean": x.mean(), "std": x.std(ddof=1), "min": x.min(), "max": x.max()}
    return figures | {f"quantile {q}": v for q, v in zip(SHARES, hk.arrays.quantile(x, SHARES), strict=True)}


def main() -> int:
    args = options()
    x = read(args.data, args.dataset)
    if x.dtype.kind == "f":
        good = np.isfinite(x)
        missing = x.size - np.count_nonzero(good)
        x = x[good].redistribute()  # what is selected may lie unevenly
        if hk.world().is_root:
            print(f"{'not finite':14} {missing}")
    figures = summary(x)
    counts, edges = hk.arrays.histogram(x, bins=args.bins)
    if hk.world().is_root:
        for name, value in figures.items():
            print(f"{name:14} {value}")
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
            print(f"{low:14.6g} {high:14.6g} {count:12d}")
    if args.output:
        arrays = {"counts": hk.arrays.array(counts), "edges": hk.arrays.array(edges)}
        arrays["standardised"] = (x - figures["mean"]) / figures["std"]
        hk.arrays.to_hdf5(arrays, args.output, overwrite=args.overwrite)
    return 0


if __name__ == "__main__":
    sys.exit(hk.program(main))
