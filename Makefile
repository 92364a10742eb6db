# The ways to install, try and check omnidex. `make` alone lists them.
#
# PYTHON       the Python to make the environment with, 3.11 to 3.13
# VENV         where the environment goes
# CONSTRAINTS  pins for a machine without a GPU; empty for the GPU build: make venv CONSTRAINTS=
# PYTEST_ARGS  more arguments for pytest
# MANIFEST     the development pack's manifest, for the tables of docs/results.md
# PEER         the peer's checkpoint, for a column of these tables: what `omnidex train` with a section
#              [open_clip] leaves (docs/training.md)

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints/cpu.txt
PYTEST_ARGS ?=
MANIFEST ?= manifest.jsonl
PEER ?= runs/peer/open_clip/open_clip_model.safetensors

BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check -q $(CONSTRAINTS:%=-c %)
SOURCES := omni_encoder indexer retrieval cli benchmarks tests samples

.PHONY: help venv demo test test-slow check bench-check results format lint types borders package docs clean
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

venv: $(VENV)/.dev ## Make the environment, with the tools for development

$(VENV)/.user: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.user
	$(INSTALL) -e '.[dev]'
	@touch $@

demo: $(VENV)/.user ## Install, index the samples, and search them any-to-any
	@PATH="$(abspath $(BIN)):$$PATH" bash samples/demo.sh

test: venv ## Install with the tools, and run the tests
	$(BIN)/python -m pytest -n 2 -m "not slow" $(PYTEST_ARGS)

test-slow: venv ## Run the long tests too: soaks, kills, damaged files
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

check: venv format lint types borders test package ## Run all that CI runs

bench-check: venv ## Compare quick benchmarks with their baselines
	OMP_NUM_THREADS=1 $(BIN)/omnidex bench check --samples samples/media --threads 1

format: venv
	$(BIN)/ruff format --check $(SOURCES)

lint: venv
	$(BIN)/ruff check $(SOURCES)

types: venv
	$(BIN)/basedpyright --pythonpath $(BIN)/python

borders: venv
	$(BIN)/lint-imports

package: venv ## Build the wheel and try it in an environment of its own
	bash .ci/wheel-smoke $(BIN)/python

results: venv ## Write the tables of docs/results.md anew; MANIFEST names the development pack, PEER the peer
	$(BIN)/omnidex bench tables $(MANIFEST) --split benchmarks/splits/development.json \
	    --encoder bridge --encoder peer=open_clip:peer/$(PEER) --encoder omni \
	    --results omnidex-results --measure --write docs/results.md
	cp -R omnidex-results/asking omnidex-results/system docs/results/

docs: venv ## Write docs/cli.md anew
	$(BIN)/python -m omnidex_cli.reference > docs/cli.md

clean: ## Remove what the targets made, but not the environment
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
