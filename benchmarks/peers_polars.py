"""One benchmark question answered by polars, as a whole process: peers_polars.py QUESTION LOG FOLDER.

The answers go to FOLDER/1.parquet, 2.parquet, … with the columns of questions.py. Formulations are the fastest of those
measured (see the comments); only what a question needs is read.
"""

from __future__ import annotations

import os
import sys

os.environ["POLARS_MAX_THREADS"] = "2"
import polars as pl

# Request lines in one column (quotes hold together) or in three: the first is faster where the path is not wanted, CPU
# seconds on 212 MB 0.36 against 0.40 for the status question; the second for all others, 0.49 against 0.56 for the
# paths, 0.82 against 1.09 for the four. One column and extract_groups or split: 0.67 and more.
QUOTED = ("host", "ident", "user", "time", "zone", "request", "status", "bytes", "referer", "agent")
PLAIN = ("host", "ident", "user", "time", "zone", "method", "path", "protocol", "status", "bytes", "referer")
BGL = ("label", "epoch", "date", "node", "time", "node_repeat", "type", "component", "level")
TYPES = {"status": pl.Int32, "bytes": pl.Int64}
ERRORS = ("FATAL", "SEVERE", "ERROR", "FAILURE")


def scan(log: str, columns: tuple[str, ...]) -> pl.LazyFrame:
    """The first columns of a log whose fields are separated by blanks; the rest of each line is ignored."""
    return pl.scan_csv(
        log, has_header=False, separator=" ", quote_char='"' if columns is QUOTED else None,
        truncate_ragged_lines=True, extra_columns="ignore", null_values=None if columns is BGL else ["-"],
        schema={name: TYPES.get(name, pl.String) for name in columns},
    )  # fmt: skip


def status(requests: pl.LazyFrame) -> pl.LazyFrame:
    """Requests and bytes by status; SQL's sum of nothing is NULL, polars' is 0."""
    groups = requests.group_by("status").agg(
        requests=pl.len(), total=pl.col("bytes").sum(), mean=pl.col("bytes").mean()
    )
    total = pl.when(pl.col("mean").is_not_null()).then("total").alias("total")
    return groups.select("status", "requests", total, "mean").sort("status")


def paths(requests: pl.LazyFrame) -> pl.LazyFrame:
    """The twenty most wanted paths."""
    groups = requests.group_by("path").agg(requests=pl.len())
    return groups.sort(["requests", "path"], descending=[True, False]).head(20)


def hours(requests: pl.LazyFrame) -> pl.LazyFrame:
    """Requests and 95th percentile of the bytes per hour; grouped as text, converted afterwards."""
    groups = requests.group_by(pl.col("time").str.slice(0, 15).alias("stem")).agg(
        requests=pl.len(), p95=pl.col("bytes").quantile(0.95, "linear")
    )
    hour = pl.concat_str("stem", pl.lit(":00")).str.to_datetime("[%d/%b/%Y:%H:%M", time_unit="us")
    return groups.select(hour.alias("hour"), "requests", "p95").sort("hour")


def hosts(requests: pl.LazyFrame) -> pl.LazyFrame:
    """How many different clients."""
    return requests.select(hosts=pl.col("host").n_unique())


def errors(log: str) -> pl.LazyFrame:
    """The twenty worst node-hours. Lines filtered by str.contains and then split take as long (0.38 s on 153 MB)."""
    events = scan(log, BGL).filter(pl.col("level").is_in(ERRORS))
    groups = events.group_by("node", pl.col("time").str.slice(0, 13).alias("stem")).agg(errors=pl.len())
    hour = pl.concat_str("stem", pl.lit(".00")).str.to_datetime("%Y-%m-%d-%H.%M", time_unit="us")
    worst = groups.sort(["errors", "node", "stem"], descending=[True, False, False]).head(20)
    return worst.select("node", hour.alias("hour"), "errors")


def main(question: str, log: str, folder: str) -> None:
    """Answer `question` about `log`."""
    if question == "errors":
        answers = [errors(log)]
    else:
        functions = {"status": status, "paths": paths, "hours": hours, "hosts": hosts}
        wanted = list(functions) if question == "four" else [question]
        requests = scan(log, QUOTED if question in ("status", "hours") else PLAIN)
        answers = [functions[name](requests) for name in wanted]
    # collect_all reads the file once for all of them.
    for number, frame in enumerate(pl.collect_all(answers, engine="streaming"), 1):
        frame.write_parquet(f"{folder}/{number}.parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
