# Everything a developer does. `make` alone prints this list.
SHELL := /bin/sh
PYTHON ?= python3
ARGS ?=
export UV_PYTHON_DOWNLOADS ?= never
BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-clickhouse lint accept bench proof up doctor lock clean

help:  ## print this list
	@echo "Fillip: real events in, exact incentives out, pushed at once."
	@echo
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Pass options with ARGS, e.g. make demo ARGS=--keep"

setup: .venv/.synced  ## install what is needed into .venv (done by the others by themselves)

.tools/bin/uv:
	@echo "installing uv into .tools …"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .tools uv

.venv/.synced: requirements/dev.lock pyproject.toml | $(filter .tools/bin/uv,$(UV))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Fillip needs Python 3.11 or newer; found: $$($(PYTHON) --version). Set PYTHON=/path/to/python3.13"; exit 1; }
	@echo "installing the locked packages into .venv …"
	@test -x $(BIN)/python || $(UV) venv --quiet --python "$(PYTHON)" .venv
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/dev.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@$(BIN)/python -m compileall -q src  # else seven processes compile the same at once, and keep the memory that it took
	@touch $@

demo: .venv/.synced  ## run the main job on real shopping data (ARGS=--keep leaves it up)
	@$(BIN)/fillip demo $(ARGS)

test: lint  ## check style, types and layers, then run all tests
	@$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

lint: .venv/.synced  ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

test-clickhouse: .venv/.synced  ## the tests of ClickHouse, in chdb, which is fetched for it (530 MB)
	@test -x .venv-clickhouse/bin/python || $(UV) venv --quiet --python "$(PYTHON)" .venv-clickhouse
	@$(UV) pip sync --quiet --python .venv-clickhouse/bin/python --require-hashes requirements/clickhouse.lock
	@$(UV) pip install --quiet --python .venv-clickhouse/bin/python --no-deps --editable .
	@.venv-clickhouse/bin/pytest -m clickhouse $(ARGS)

accept: .venv/.synced  ## check against data sets with answer keys (ONLY=cdnow for one)
	@$(BIN)/python -m tests.accept $(ONLY)

bench: .venv/.synced  ## measure speed, latency and memory (ONLY=worker for one)
	@$(BIN)/python -m tests.bench $(ONLY)

proof: .venv/.synced  ## the long proofs: kill -9 of the worker during the demo, ten times
	@$(BIN)/python -m tests.proof $(ARGS)

up: .venv/.synced  ## start everything and keep it up (Ctrl-C stops)
	@$(BIN)/fillip up $(ARGS)

doctor: .venv/.synced  ## tell what is missing on this machine, and how to mend it
	@$(BIN)/fillip doctor $(ARGS)

lock: .venv/.synced  ## write requirements/*.lock anew from pyproject.toml
	@$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --extra embedded pyproject.toml -o requirements/run.lock
	@$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --extra embedded --group dev pyproject.toml -o requirements/dev.lock
	@$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --extra embedded --group dev --group clickhouse pyproject.toml -o requirements/clickhouse.lock

clean:  ## remove .venv, build and the state of the embedded servers
	rm -rf .venv .venv-clickhouse .tools build .fillip
