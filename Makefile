# The project for those who use it and those who work on it. Each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help venv demo runtimes test test-fast check lint format-check types spelling imports generated format accuracy experiments sizes bench fuzz docs release clean

help:
	@echo "make demo       train, quantize and run a network under real MicroPython"
	@echo "make test       all tests, on every runtime that this machine can have"
	@echo "make test-fast  the quick tests that need no MicroPython port: under two minutes"
	@echo "make check      lint, format, types, spelling, imports, generated files"
	@echo "make format     write all code in the project's format"
	@echo "make runtimes   real MicroPython ports into the cache folder (docs/runtimes.md)"
	@echo "make accuracy   float and integer accuracy, five seeds         -> build/accuracy.json"
	@echo "make experiments  the trainer's defaults, two hours of CPU time -> build/experiments.json"
	@echo "make sizes      bytes of the device package and of load()      -> build/sizes.json"
	@echo "make bench      a step on each runtime, of each cell           -> build/bench.json"
	@echo "make docs       this documentation as a site                   -> build/site"
	@echo "make fuzz       damaged model files against the loader"
	@echo "make release    sdist and wheel, each installed and tried       -> build/release"
	@echo "make clean      remove .venv and build"
	@echo "Every target makes $(VENV) first, with $(PYTHON) (another one: make PYTHON=python3.12 ...)."

venv: $(READY)

# Made once, and brought up to date when the dependencies change.
$(READY): pyproject.toml tools/constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10))" || { \
	    echo "$(PYTHON) is missing or older than 3.10: install Python 3.10 or newer, or name one with make PYTHON=..." >&2; \
	    exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || { \
	    echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv (or name another with make PYTHON=...)" >&2; \
	    exit 1; }
	@echo "Setting up $(VENV): a few minutes the first time, most of them for torch."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --constraint tools/constraints.txt --editable ".[dev]"
	@touch $@

demo: $(READY)
	@$(BIN)/tinyrnn demo

runtimes: $(READY)
	@$(BIN)/python tools/runtimes.py

test: $(READY)
	@$(BIN)/python tools/runtimes.py || echo "The tests on the runtimes that FAILED will be skipped, or fail where they are required." >&2
	@$(BIN)/python -m pytest -n 2

# Marks: pyproject.toml; tests/conftest.py gives `runtime` to most tests that have it
test-fast: $(READY)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not runtime and not slow"

check: lint format-check types spelling imports generated

# One check each; .pre-commit-config.yaml starts them one by one
lint: $(READY)
	$(BIN)/ruff check

format-check: $(READY)
	$(BIN)/ruff format --check --quiet

types: $(READY)
	$(BIN)/mypy

spelling: $(READY)
	$(BIN)/codespell

imports: $(READY)
	$(BIN)/lint-imports

generated: $(READY)
	$(BIN)/python tools/tables.py --check
	$(BIN)/python tools/unroll.py --check
	$(BIN)/python tools/manifest.py --check
	$(BIN)/python tools/sections.py --check
	$(BIN)/python tools/readme.py --check
	$(BIN)/python tools/pictures.py --check

format: $(READY)
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

accuracy sizes fuzz release: $(READY)
	@$(BIN)/python tools/$@.py

experiments: $(READY)
	@$(BIN)/python -m pip install --quiet --no-deps --constraint tools/constraints.txt aeon statsmodels
	@$(BIN)/python tools/experiments.py run --settings "default,tuned torch GRU"
	@$(BIN)/python tools/experiments.py run --settings all --sets ablation
	@$(BIN)/python tools/experiments.py speed

bench: $(READY)
	@$(BIN)/python tools/benchmarks.py
	@$(BIN)/tinyrnn bench --compare --json > build/comparison.json

# The variable turns off a note about the successors of MkDocs
docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build
