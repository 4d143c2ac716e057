"""One benchmark question answered by DuckDB, as a whole process: peers_duckdb.py QUESTION LOG FOLDER.

The answers go to FOLDER/1.parquet, 2.parquet, … with the columns of questions.py. Formulations are the fastest of those
measured (see the comments); only what a question needs is read.
"""

from __future__ import annotations

import sys

import duckdb

THREADS = 2

# Blanks separate, quotes hold together, a backslash escapes: DuckDB's CSV reader does all the work and skips the
# columns that nobody asks for. CPU seconds on 212 MB, status question: this 0.60; no quoting and the rest of the line
# ignored 0.71; '"' as the separator and split_part 0.67; one column and regexp_extract 0.88.
ACCESS = """read_csv('{log}', header = false, auto_detect = false, sep = ' ', quote = '"', escape = '\\',
    nullstr = '-', columns = {{'host': 'VARCHAR', 'ident': 'VARCHAR', 'user': 'VARCHAR', 'time': 'VARCHAR',
                'zone': 'VARCHAR', 'request': 'VARCHAR', 'status': 'INTEGER', 'bytes': 'BIGINT', 'referer': 'VARCHAR',
                'agent': 'VARCHAR'}})"""

# The message's words are further columns, which strict_mode = false ignores. CPU seconds on 153 MB: this 0.38; one
# column and split_part 1.2, with a filter by contains() before it 1.1, regexp_extract 4.4.
BGL = """read_csv('{log}', header = false, auto_detect = false, sep = ' ', quote = '', escape = '', strict_mode = false,
    columns = {{'label': 'VARCHAR', 'epoch': 'VARCHAR', 'date': 'VARCHAR', 'node': 'VARCHAR', 'time': 'VARCHAR',
                'node_repeat': 'VARCHAR', 'type': 'VARCHAR', 'component': 'VARCHAR', 'level': 'VARCHAR'}})"""

# Hours are grouped as text and converted afterwards: there are few. Paths are cut out of the different request lines,
# not of every line (0.54 instead of 0.63 s).
ANSWERS = {
    "status": "SELECT status, count(*) AS requests, sum(bytes)::BIGINT AS total, avg(bytes) AS mean FROM {source} "
    "GROUP BY status ORDER BY status",
    "paths": "SELECT split_part(request, ' ', 2) AS path, sum(n)::BIGINT AS requests FROM "
    "(SELECT request, count(*) AS n FROM {source} GROUP BY request) GROUP BY path "
    "ORDER BY requests DESC, path LIMIT 20",
    "hours": "SELECT strptime(stem, '[%d/%b/%Y:%H') AS hour, requests, p95 FROM (SELECT time[:15] AS stem, "
    "count(*) AS requests, quantile_cont(bytes, 0.95) AS p95 FROM {source} GROUP BY 1) ORDER BY hour",
    "hosts": "SELECT count(DISTINCT host) AS hosts FROM {source}",
    "errors": "SELECT node, strptime(stem, '%Y-%m-%d-%H') AS hour, errors FROM (SELECT node, time[:13] AS stem, "
    "count(*) AS errors FROM {source} WHERE level IN ('FATAL', 'SEVERE', 'ERROR', 'FAILURE') GROUP BY ALL) "
    "ORDER BY errors DESC, node, hour LIMIT 20",
}
FOUR = ("status", "paths", "hours", "hosts")


def four(source: str) -> str:
    """All four questions in one statement and one scan: 0.8 to 1.0 s; through a temporary table 1.2, four scans 2.3."""
    parts = [
        f"SELECT {i} AS answer, * FROM ({ANSWERS[name].format(source='requests')})" for i, name in enumerate(FOUR, 1)
    ]
    columns = "host, time[:15] AS time, request, status, bytes"
    return f"WITH requests AS MATERIALIZED (SELECT {columns} FROM {source}) " + " UNION ALL BY NAME ".join(parts)


def main(question: str, log: str, folder: str) -> None:
    """Answer `question` about `log`; the four together go to all.parquet, told apart by the column `answer`."""
    connection = duckdb.connect()
    connection.execute(f"SET threads = {THREADS}")
    connection.execute("SET preserve_insertion_order = false")
    source = (BGL if question == "errors" else ACCESS).format(log=log)
    statement = four(source) if question == "four" else ANSWERS[question].format(source=source)
    name = "all" if question == "four" else "1"
    connection.execute(f"COPY ({statement}) TO '{folder}/{name}.parquet' (FORMAT parquet)")


if __name__ == "__main__":
    main(*sys.argv[1:])
