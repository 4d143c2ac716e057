"""Groups of similar rows: k-means (Lloyd 1982) over a distributed array, a loop that goes on after it was killed.

    hpckit run -n 4 --restarts 3 -- python jobs/kmeans.py run.h5 --dataset sensors --clusters 8 \
        --checkpoint ck/ --output groups.h5

Copy it and change it. Killed, stopped by the batch system or out of time, the same command goes on from the last saved
round, on any number of ranks, and ends with the same bytes: sums are exact, so no result depends on who added what.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import hpckit as hk


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", help="a .npy or an HDF5 file: one row a point, one column a feature")
    parser.add_argument("--dataset", default="data", help="the dataset of an HDF5 file (default: data)")
    parser.add_argument("--clusters", type=int, default=8, metavar="K")
    parser.add_argument("--rounds", type=int, default=100, help="at most so many (default: 100)")
    parser.add_argument("--checkpoint", metavar="DIR", required=True, help="where the loop saves itself")
    parser.add_argument("--every", type=float, default=60.0, metavar="S", help="seconds between saves (default: 60)")
    parser.add_argument("--output", metavar="FILE", help="an HDF5 file for centres, sizes and groups of rows")
    parser.add_argument("--overwrite", action="store_true")
    return parser.parse_args()


def read(path: str, dataset: str) -> hk.arrays.DistArray:
    return hk.arrays.from_npy(path) if path.endswith(".npy") else hk.arrays.from_hdf5(path, dataset)


def first_centres(points: hk.arrays.DistArray, clusters: int) -> np.ndarray:
    """Rows spread evenly over the input, the same on every rank."""
    rows = np.arange(clusters) * len(points) // clusters
    return hk.arrays.take(points, rows, axis=0).gather()


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """For each row the number of the nearest centre; a tie goes to the first. Memory: one number a row and centre."""
    best, labels = np.full(len(points), np.inf), np.zeros(len(points), np.int64)
    for number, centre in enumerate(centres):
        distance = np.zeros(len(points))
        for column in range(len(centre)):  # in one order everywhere, so that each distance has one value
            distance += (points[:, column] - centre[column]) ** 2
        closer = distance < best
        best[closer], labels[closer] = distance[closer], number
    return labels


def round_of(points: hk.arrays.DistArray, centres: np.ndarray) -> tuple[hk.arrays.DistArray, np.ndarray, np.ndarray]:
    """(group of each row, rows of each group, centres of these groups); an empty group keeps its centre."""
    labels = hk.arrays.from_local(nearest(points.local, centres))
    sizes = hk.arrays.bincount(labels, minlength=len(centres))
    sums = [
        hk.arrays.bincount(labels, hk.arrays.from_local(points.local[:, j]), minlength=len(centres))
        for j in range(points.shape[1])
    ]
    means = np.stack(sums, axis=1) / np.maximum(sizes, 1)[:, None]
    return labels, sizes, np.where(sizes[:, None] > 0, means, centres)


def main() -> int:
    args = options()
    points = read(args.data, args.dataset).astype(np.float64)
    asked = {"clusters": args.clusters, "rounds": args.rounds, "dataset": args.dataset}
    with hk.checkpoint(args.checkpoint, every_s=args.every, job=asked, inputs=[args.data]) as ck:
        state = ck.restore() or {"round": 0, "centres": first_centres(points, args.clusters)}
        done, centres = state["round"], state["centres"]
        if done and hk.world().is_root:
            print(f"going on behind round {done}", flush=True)
        while True:
            labels, sizes, moved = round_of(points, centres)
            done += 1
            settled = np.array_equal(moved, centres)
            centres = moved
            if settled or done >= args.rounds:
                break
            ck.save(round=done, centres=centres)
        if hk.world().is_root:
            print(f"{'settled' if settled else 'stopped'} after {done} rounds; rows in each group: {sizes.tolist()}")
        if args.output:
            found = {"centres": hk.arrays.array(centres), "sizes": hk.arrays.array(sizes), "labels": labels}
            hk.arrays.to_hdf5(found, args.output, overwrite=args.overwrite)
        ck.finish()
    return 0


if __name__ == "__main__":
    sys.exit(hk.program(main))
