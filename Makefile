# Everything a newcomer types. `make` alone lists it.
#
#   PYTHON=python3.12 make setup           another interpreter for the environment
#   PIP_EXTRA_INDEX_URL=... make setup     pip's own variables work as usual

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test check format bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## build the environment in .venv, with the extras starter, fast and dev

quickstart: $(READY)  ## the main job on text that every machine has: harvest, fine-tune, score, answer
	$(BIN)/bertsmith quickstart

test: $(READY)  ## every test of the default suite
	# One thread a process: two test processes keep two cores busy, and do not wait for each other.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

check: $(READY)  ## lint, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)  ## put the formatting right
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY)  ## our training loop against transformers', side by side (takes a while)
	$(BIN)/python bench/finetune.py

clean:  ## remove caches and built packages (.venv and runs stay)
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is built again only when what it is built from has changed. An environment that cannot run pip (an
# interrupted build, a Python that was since removed) is started afresh.
$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: no '$(PYTHON)' here; bertsmith needs Python 3.11 or newer: PYTHON=/path/to/python make setup" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $$($(PYTHON) --version 2>&1) is too old; bertsmith needs 3.11 or newer: PYTHON=python3.12 make setup" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[starter,fast,dev]'
	@touch $@
