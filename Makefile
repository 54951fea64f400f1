# Each target does its own set-up: `make test` or `make quickstart` on a fresh clone is enough.
# The Python to set up with can be given: make test PYTHON=python3.12

PYTHON ?= python3
OUT ?= runs/quickstart

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test lint clean

help:
	@echo "make quickstart  data, tuning, evaluation and report, offline once installed, in $(OUT)/"
	@echo "make test        lint, then every test but those that need a GPU"
	@echo "make lint        ruff check and ruff format --check"
	@echo "make setup       the virtual environment in $(VENV)/ (the others do it when needed)"
	@echo "make clean       remove $(VENV)/ and caches; what you trained under runs/ stays"

setup: $(READY)

quickstart: $(READY)
	$(BIN)/lawtune quickstart --out $(OUT)

test: lint
	$(BIN)/python -m pytest -m "not gpu"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
	find lawtune tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last: an installation that was cut off is done again.
$(READY): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "lawtune needs Python 3.11 or newer, but \
	there is no $(PYTHON). Install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "lawtune needs \
	Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) -V 2>&1). \
	Name another one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual \
	environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing lawtune and what it needs into $(VENV)/: once, a few minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $(READY)
