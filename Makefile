# hpckit: `make` lists what there is. Everything happens in ./.venv; nothing is installed elsewhere.

SHELL := /bin/sh
BIN := .venv/bin
HPCKIT := $(BIN)/hpckit
DEMO_LOG := demo/bgl.log
DEMO_ROWS := 1000000
DEMO_SQL := SELECT node, date_trunc('hour', time) AS hour, count(*) AS errors \
	FROM read_logs('$(DEMO_LOG)', 'bgl') WHERE level IN ('FATAL','SEVERE','ERROR','FAILURE') \
	GROUP BY node, hour ORDER BY errors DESC, node, hour LIMIT 20
PYTEST := $(BIN)/python -m pytest

.PHONY: help venv dev demo test test-fast lint format bench-logs clean

help:
	@echo "make demo         build everything in ./.venv, write a log of 1,000,000 lines, run the main job on 2 ranks"
	@echo "make test         the whole test suite, at 1, 2, 3 and 4 ranks"
	@echo "make test-fast    the tests that need one process and no build"
	@echo "make lint         ruff, cython-lint, mypy"
	@echo "make format       let ruff lay out the Python files"
	@echo "make bench-logs   hpckit, DuckDB and polars on two logs of about 2 GB"
	@echo "make venv         only build ./.venv    (PYTHON=/path/to/python3 chooses the interpreter)"
	@echo "make clean        remove what was built, the demo and the benchmark's data"

venv:
	@sh tools/venv.sh run

dev:
	@sh tools/venv.sh dev

$(DEMO_LOG): | venv
	@mkdir -p demo
	@echo "+ hpckit generate bgl $(DEMO_LOG) --rows $(DEMO_ROWS) --seed 1"
	@$(HPCKIT) generate bgl $(DEMO_LOG) --rows $(DEMO_ROWS) --seed 1

demo: venv $(DEMO_LOG)
	@echo '+ hpckit run -n 2 -- query "$(DEMO_SQL)" --output demo/top.parquet --rejects demo/bad.jsonl --overwrite' | tr -s '\t ' ' '
	@$(HPCKIT) run -n 2 -- query "$(DEMO_SQL)" --output demo/top.parquet --rejects demo/bad.jsonl --overwrite
	@$(HPCKIT) query "SELECT * FROM 'demo/top.parquet'"
	@printf '%s\n' "" \
	"The twenty node-hours with the most errors are in demo/top.parquet. What to type next:" "" \
	"  . .venv/bin/activate" \
	"  hpckit query \"SELECT level, count(*) AS n FROM read_logs('$(DEMO_LOG)', 'bgl') GROUP BY level\"" \
	"  hpckit run -n 2 -- python jobs/log_analysis.py $(DEMO_LOG) --format bgl --output demo/report.h5" \
	"  hpckit formats          the log formats it knows; hpckit formats --try FILE guesses that of yours" \
	"  hpckit --help           everything else"

test: dev
	@$(PYTEST) tests

test-fast: dev
	@$(PYTEST) tests -m "not packaging and not suite and not mpirun"

lint: dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/cython-lint kernels
	@$(BIN)/mypy

format: dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench-logs: dev
	@$(BIN)/python benchmarks/bench_logs.py

clean:
	rm -rf .venv build dist demo bench-data bench-results *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find hpckit tests -name __pycache__ -prune -exec rm -rf {} +
	rm -f hpckit/_kernels/*.so
