#!/bin/sh
# tools/demo.sh: the main job on a log of a million lines, as `make demo` runs it once ./.venv is there.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
log=demo/bgl.log
sql="SELECT node, date_trunc('hour', time) AS hour, count(*) AS errors
     FROM read_logs('$log', 'bgl') WHERE level IN ('FATAL','SEVERE','ERROR','FAILURE')
     GROUP BY node, hour ORDER BY errors DESC, node, hour LIMIT 20"

mkdir -p demo
if ! [ -s "$log" ]; then
    echo "+ hpckit generate bgl $log --rows 1000000 --seed 1"
    hpckit generate bgl "$log" --rows 1000000 --seed 1
fi
echo "+ hpckit run -n 2 -- query \"$sql\" --output demo/top.parquet --rejects demo/bad.jsonl"
hpckit run -n 2 -- query "$sql" --output demo/top.parquet --rejects demo/bad.jsonl --overwrite
echo "+ hpckit query \"SELECT * FROM 'demo/top.parquet'\""
hpckit query --quiet "SELECT * FROM 'demo/top.parquet'"
cat <<END

The twenty node-hours with the most errors are in demo/top.parquet, lines that did not parse in demo/bad.jsonl.
What to type next:

  . .venv/bin/activate
  hpckit query "SELECT level, count(*) AS n FROM read_logs('$log', 'bgl') GROUP BY level"
  hpckit run -n 2 -- python jobs/log_analysis.py $log --format bgl --output demo/report.h5
  hpckit formats                 the log formats it knows; hpckit formats --try FILE guesses that of yours
  hpckit --help                  everything else
END
