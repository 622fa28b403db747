# The habits of the house. Only Python 3.11+, git and make are assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Empty is "write it": where the environment forbids it, each of the hundreds of processes that the tests start
# compiles all of giftsync again, which is more than half of what its start takes.
export PYTHONDONTWRITEBYTECODE :=

# Processes that run tests: on two cores three, since a quarter of the time one waits for servers and clocks.
TESTERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-slow check connector format bench simulate crashes mutants docs node schema lock

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml scripts/make-venv
	scripts/make-venv $(PYTHON) $(VENV) requirements/runtime.txt
	touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml scripts/make-venv
	scripts/make-venv $(PYTHON) $(VENV) requirements/dev.txt
	touch $@ $(VENV)/.runtime

setup: $(VENV)/.runtime  ## create .venv with the giftsync command in it

setup-dev: $(VENV)/.dev

demo: setup  ## both sandboxes, traffic, the worker, and the proof (60 seconds)
	$(BIN)/giftsync demo --duration 60

test: check  ## every check and test that CI runs
	scripts/chromium
	$(BIN)/pytest -n $(TESTERS) --dist worksteal -m "not slow"

test-slow: setup-dev  ## the long tests as well
	$(BIN)/pytest -n $(TESTERS) --dist worksteal

check: setup-dev  ## style, types and walls
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

connector: setup-dev  ## the template of a connector, its tests, and a demo with it, in a venv of its own from a built wheel
	scripts/try-connector $(PYTHON) $(BIN) examples/connector

format: setup-dev  ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-dev  ## every benchmark, each a ratio within one run
	$(BIN)/python -m bench

simulate: setup-dev  ## every schedule of every family: many minutes
	$(BIN)/python -m tests.simulation --size full --mutants

crashes: setup-dev  ## every two mishaps in every movement on Flow: an hour or more
	$(BIN)/python -m tests.simulation.flow_crashes --pairs

mutants: setup-dev  ## one-line mutants of the protocol, each against the tests that reach it: an hour or two
	$(BIN)/python -m tests.mutation $(MUTANTS)

$(VENV)-docs/.docs: requirements/docs.txt
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	touch $@

docs: $(VENV)-docs/.docs  ## the documentation as a site, in site/; a broken link fails
	$(VENV)-docs/bin/zensical build --clean --strict

node:  ## Shopify's own Node libraries, for tests/sandbox/test_shopify_node.py (needs Node 20 and npm)
	npm ci --prefix tests/node --no-audit --no-fund

schema: setup-dev  ## renew tests/schema from Shopify's own npm package (needs npm)
	$(BIN)/python scripts/refresh-schema

lock: setup-dev  ## renew the lock files after a change of dependencies
	scripts/lock
