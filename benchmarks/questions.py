"""The questions of bench_logs.py, as hpckit's SQL; every competitor answers with the same columns in the same order."""

from __future__ import annotations

from dataclasses import dataclass

STATUS = """SELECT status, count(*) AS requests, sum(bytes) AS total, avg(bytes) AS mean
FROM read_logs('{log}', 'combined') GROUP BY status ORDER BY status"""
PATHS = """SELECT path, count(*) AS requests
FROM read_logs('{log}', 'combined') GROUP BY path ORDER BY requests DESC, path LIMIT 20"""
HOURS = """SELECT date_trunc('hour', time) AS hour, count(*) AS requests, quantile_cont(bytes, 0.95) AS p95
FROM read_logs('{log}', 'combined') GROUP BY hour ORDER BY hour"""
HOSTS = """SELECT count(DISTINCT host) AS hosts FROM read_logs('{log}', 'combined')"""
ERRORS = """SELECT node, date_trunc('hour', time) AS hour, count(*) AS errors
FROM read_logs('{log}', 'bgl') WHERE level IN ('FATAL', 'SEVERE', 'ERROR', 'FAILURE')
GROUP BY node, hour ORDER BY errors DESC, node, hour LIMIT 20"""


@dataclass(frozen=True)
class Question:
    """A question about the log of one kind; `columns` of each of its answers."""

    name: str
    title: str
    kind: str
    statements: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]

    def sql(self, log: str) -> str:
        """The statements about the file `log`."""
        return ";\n".join(statement.format(log=log) for statement in self.statements) + ";\n"


_STATUS = ("status", "requests", "total", "mean")
_PATHS = ("path", "requests")
_HOURS = ("hour", "requests", "p95")
_HOSTS = ("hosts",)
QUESTIONS = (
    Question("status", "count, sum, mean of bytes by status", "access", (STATUS,), (_STATUS,)),
    Question("paths", "top 20 paths", "access", (PATHS,), (_PATHS,)),
    Question("hours", "requests and exact p95 of bytes per hour", "access", (HOURS,), (_HOURS,)),
    Question("hosts", "distinct clients", "access", (HOSTS,), (_HOSTS,)),
    Question(
        "four", "these four over one scan", "access", (STATUS, PATHS, HOURS, HOSTS), (_STATUS, _PATHS, _HOURS, _HOSTS)
    ),
    Question("errors", "BGL: errors per node-hour, top 20", "bgl", (ERRORS,), (("node", "hour", "errors"),)),
)
