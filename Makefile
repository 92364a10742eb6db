# The ways to install, try and check omnidex. `make` alone lists them.
#
# PYTHON       the Python to make the environment with, 3.11 to 3.13
# VENV         where the environment goes
# CONSTRAINTS  pins for a machine without a GPU; empty for the GPU build: make venv CONSTRAINTS=
# PYTEST_ARGS  more arguments for pytest

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints/cpu.txt
PYTEST_ARGS ?=

BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check -q $(CONSTRAINTS:%=-c %)
SOURCES := omni_encoder indexer retrieval cli benchmarks tests samples

.PHONY: help venv demo test check format lint types borders package docs clean
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

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
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: venv format lint types borders test package ## Run all that CI runs

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

docs: venv ## Write docs/cli.md anew
	$(BIN)/python -m omnidex_cli.reference > docs/cli.md

clean: ## Remove what the targets made, but not the environment
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
