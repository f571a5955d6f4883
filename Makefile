# make run    installs what is missing and serves everything on http://127.0.0.1:8000
# make demo   the same with a demo world in it, in ./demo-home
# make test   lint, types, import rules and all tests on a real PostgreSQL

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
PYTEST := $(BIN)/python -m pytest -n 3 --dist worksteal
TOGETHER := $(MAKE) --no-print-directory -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

# Hundreds of processes start in the tests; none of them should have to compile what another one has compiled.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run demo test prove ready lint types style bench setup browser vendor pins clean

run: .venv/.runtime
	@$(BIN)/cardtone up

# A world to look around in, in a home of its own: made the first time, served as `run` serves an installation.
demo: .venv/.runtime
	@test -e $(DEMO_HOME)/made || (CARDTONE_HOME=$(DEMO_HOME) $(BIN)/cardtone demo && touch $(DEMO_HOME)/made)
	@CARDTONE_HOME=$(DEMO_HOME) $(BIN)/cardtone up

DEMO_HOME := demo-home

test: ready
	@$(PYTEST)

# The counts as they were meant, not the ones that fit a coffee break.
prove: ready
	@CARDTONE_PROVE=1 $(PYTEST)

# All that comes before the tests, two things at a time.
ready:
	@$(TOGETHER) browser setup
	@$(TOGETHER) types style

lint: .venv/.dev
	@$(TOGETHER) types style

types: .venv/.dev
	@$(BIN)/mypy

# Reading the tests here, once, compiles them for all the processes that run them.
style: .venv/.dev
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/djlint --lint --quiet portal/templates
	@$(BIN)/python -m compileall -q cli demo engine jobs portal
	@$(BIN)/python -m pytest -q tests/test_architecture.py
	@mkdir -p build
	@$(BIN)/python -m pytest -qq --collect-only >build/collected || { cat build/collected; exit 1; }

bench: .venv/.runtime
	@$(BIN)/python -m bench

# Returns at once when neither the pins nor pyproject.toml changed.
setup: .venv/.dev

browser:
	@sh tools/setup.sh browser

.venv/bin/python:
	@sh tools/setup.sh venv

.venv/.runtime: constraints/runtime.txt pyproject.toml | .venv/bin/python
	@echo "Installing Cardtone into .venv"
	@$(PIP) --require-hashes -r constraints/runtime.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@sh tools/setup.sh paper
	@touch $@

.venv/.dev: constraints/dev.txt .venv/.runtime
	@echo "Installing the tools of the tests into .venv"
	@$(PIP) --require-hashes -r constraints/dev.txt
	@touch $@

# The scripts and styles that the pages need, fetched anew. Running Cardtone never needs Node.
vendor:
	@sh tools/vendor.sh

# New pins for what pyproject.toml asks; they name versions and hashes, and nowhere to load them from.
pins: .venv/bin/python
	@$(BIN)/python -m venv build/pins
	@build/pins/bin/python -m pip install --quiet --disable-pip-version-check uv
	@rm -f constraints/runtime.txt constraints/dev.txt
	@build/pins/bin/uv pip compile $(PINS) --extra embedded -o constraints/runtime.txt
	@build/pins/bin/uv pip compile $(PINS) --extra embedded --extra dev -c constraints/runtime.txt -o constraints/dev.txt

PINS := --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml constraints/build.in

clean:
	@rm -rf .venv build dist cardtone.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
