"""What a log says, in one pass: messages by severity, the worst node-hours, bursts, spread, and times between errors.

    mpirun -n 4 python -m mpi4py jobs/log_analysis.py 'bgl/*.log*' --format bgl --output report.h5

Copy it and change it: every table below is a few verbs on one lazy table, and collect_all reads the input once for
all of them. It needs a format with `time`, a severity, a component and a place (see SEVERITY, COMPONENT, PLACE).
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pyarrow as pa

import hpckit as hk

SEVERITY = ("level", "severity", "status")
COMPONENT = ("component", "ident", "path")
PLACE = ("node", "host", "location", "pid")
BAD = ["FATAL", "SEVERE", "ERROR", "FAILURE", "CRITICAL", "error", "crit", "alert", "emerg"]
BURST_ERRORS = 100  # errors on one node within one minute that make a burst


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="+", help="files, globs or folders")
    parser.add_argument("--format", required=True, help="a name from `hpckit formats`, or a pattern")
    parser.add_argument("--output", help="write all tables into this HDF5 file")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--bad", nargs="+", default=BAD, metavar="LEVEL", help="severities that count as errors")
    return parser.parse_args()


def first_of(table: hk.Table, names: tuple[str, ...]) -> str:
    """The first of `names` that the log has as a column."""
    for name in names:
        if name in table.columns:
            return name
    raise hk.UserError(f"none of {', '.join(names)} is a column of this log; it has {', '.join(table.columns)}")


def tables(log: hk.Table, bad: list[str]) -> dict[str, hk.Table]:
    """The questions. Nothing is read here."""
    severity, component, place = (first_of(log, names) for names in (SEVERITY, COMPONENT, PLACE))
    errors = log.filter(hk.col(severity).is_in(bad))
    per_hour = errors.group_by(place, hour=hk.col("time").dt.truncate("1h")).agg(errors=hk.len())
    per_minute = errors.group_by(place, minute=hk.col("time").dt.truncate("1m")).agg(errors=hk.len())
    return {
        "by_severity": log.group_by(severity, component).agg(
            messages=hk.len(), first=hk.col("time").min(), last=hk.col("time").max()
        ),
        "worst_node_hours": per_hour.sort("errors", place, "hour", descending=[True, False, False]).head(20),
        "bursts": per_minute.filter(hk.col("errors") >= BURST_ERRORS).sort("minute", place),
        "spread": errors.group_by(severity, component).agg(
            errors=hk.len(), nodes=hk.col(place).n_unique(), nodes_approx=hk.col(place).approx_n_unique()
        ),
        "error_times": errors.select("time").sort("time"),
    }


def gaps(times: pa.Table) -> pa.Table:
    """Percentiles of the seconds between one error and the next."""
    seconds = np.diff(times.column("time").cast(pa.int64()).to_numpy()) / 1e6
    shares = [0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
    values = np.quantile(seconds, shares) if len(seconds) else [None] * len(shares)
    columns = {"percentile": pa.array([100 * share for share in shares]), "seconds": pa.array(values, pa.float64())}
    return pa.table(columns)


def main() -> int:
    args = options()
    if args.output:
        hk.check_output(args.output, args.overwrite)
    log = hk.scan_logs(args.data, args.format)
    questions = tables(log, args.bad)
    # The answers are small tables, collected on rank 0; `to="local"` would leave each rank its part.
    answers = dict(zip(questions, hk.collect_all(list(questions.values()), to="root"), strict=True))
    answers["seconds_between_errors"] = gaps(answers.pop("error_times"))
    for name, table in answers.items():
        hk.show(table, title=name)
    if args.output:
        hk.write_tables(answers, args.output, overwrite=args.overwrite)
    return 0


if __name__ == "__main__":
    sys.exit(hk.program(main))
