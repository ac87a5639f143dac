# The two commands are `make demo` and `make test`; each does its own set-up. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Where this is set, tests would be compiled anew by each process of each run.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
# Two at a time, longest first; where make can, what one says is kept together. The first that fails ends it.
CHECKS := types migrations document style imports audit
.PHONY: help setup demo test check $(CHECKS) format unit histories fuzz bench proof follow lock openapi

help: ## list what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/.ready: requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

setup: $(VENV)/.ready ## build .venv, where .venv/bin/gateway is the command

demo: setup ## run the whole journey on the embedded database (ARGS=--once: exit at the end)
	$(BIN)/gateway demo $(ARGS)

test: check unit ## run every check and every test

check: setup
	@$(MAKE) --no-print-directory -j 2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) ARGS= $(CHECKS)

types: setup
	$(BIN)/mypy

migrations: setup
	GATEWAY_DATA_DIR=$$(mktemp -d) $(BIN)/gateway migrate --check

document: setup
	$(BIN)/gateway openapi --check

style: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

imports: setup
	$(BIN)/lint-imports

audit: setup ## look for known vulnerabilities in the dependencies (ARGS=--required: fail if that is not possible)
	$(BIN)/python -m audit $(ARGS)

unit: setup
	$(BIN)/pytest -n 4 $(ARGS)

histories: setup ## recompute the figures of many more histories with another engine, some minutes
	$(BIN)/pytest --hypothesis-profile=long tests/api/test_exact.py $(ARGS)

fuzz: setup ## try hostile bodies, rules and every case of the OpenAPI document at length, as each role
	$(BIN)/pytest -n 2 --hypothesis-profile=long tests/hostile tests/flow/test_confront.py $(ARGS)

$(VENV)/.bench: requirements-bench.txt $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bench.txt
	@touch $@

bench: $(VENV)/.bench ## measure speed as ratios against a ceiling in the same run
	$(BIN)/python -m benchmarks $(ARGS)

proof: setup ## harm the gateway in every way and check that nothing is lost (ARGS="--rounds 5", ARGS=--controls)
	$(BIN)/python -m proofs $(ARGS)

follow: setup ## keep a copy from the feed of changes through many minutes of kills (ARGS="--minutes 60 --seed 7")
	$(BIN)/python -m proofs follow-changes $(or $(ARGS),--minutes 20)

format: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

openapi: setup ## write openapi/gateway.json
	$(BIN)/gateway openapi

lock: setup ## pin the dependencies anew, with hashes and without hosts
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras --no-header -o requirements.txt pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras --no-header --extra dev -c requirements.txt -o requirements-dev.txt pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras --no-header --extra bench -c requirements-dev.txt -o requirements-bench.txt pyproject.toml
