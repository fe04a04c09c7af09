# All commands for people and for CI. Each target installs what it needs first; that is quick if it is installed.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
.NOTPARALLEL:

SYSTEM_PYTHON ?= python3
DEV := $(SYSTEM_PYTHON) -m dev
PYTHON := .venv/bin/python
BIN := .venv/bin
# Two at a time: CI machines have two cores. Tests of one file stay together, for their shared fixtures.
PARALLEL := --numprocesses 2 --dist loadfile
# CI gives a few failed tests with servers a second try, and shows both: docs/adr/2026-11-30-a-second-try-in-ci.md.
SERVERS := $(if $(CI),--reruns 1 --max-suite-reruns 5 --rerun-show-tracebacks -raR)
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
  --no-annotate --constraints requirements/constraints.txt
YAML := charts/jobtide/Chart.yaml charts/jobtide/values.yaml charts/jobtide/alerts.yaml crds examples .github .pre-commit-config.yaml
YAML_RULES := {extends: relaxed, rules: {line-length: disable, document-start: disable}}

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: dev
dev: ## Make .venv from the hash-pinned requirements
	@$(DEV) environment

.PHONY: demo
demo: ## Run jobs of many tenants with jobtide dev, and check every result: JOBS=3000 TENANTS=20
	@$(DEV) environment --part demo
	@$(PYTHON) -m dev.demo

.PHONY: demo-cluster
demo-cluster: dev ## The same on a real cluster: CONTEXT=... for an existing one
	@$(PYTHON) -m dev.demo --cluster

.PHONY: picture
picture: dev ## Record a run of the demo on a quiet machine, and draw docs/demo.svg
	@$(PYTHON) -m dev.demo --record docs/demo.json
	@$(PYTHON) -m dev.demo.picture docs/demo.json docs/demo.svg

.PHONY: test
test: test-unit test-postgres test-cluster test-browser test-e2e ## All tests, the fast ones first

.PHONY: test-fast
test-fast: dev ## Tests of pure code only: quick, for use while you edit
	@$(PYTHON) -m pytest tests/unit -q --numprocesses 2 --dist worksteal -m "not slow" --ignore=tests/unit/chart

.PHONY: test-unit
test-unit: dev ## Tests of pure code and of the rendered chart
	@$(PYTHON) -m pytest tests/unit $(PARALLEL) --ignore=tests/unit/chart
	@$(DEV) tools helm helm3 promtool > /dev/null
	@$(PYTHON) -m pytest tests/unit/chart $(PARALLEL)

.PHONY: test-postgres
test-postgres: dev ## Tests against real PostgreSQL 15 and 18
	@$(PYTHON) -m pytest tests/postgres $(PARALLEL) $(SERVERS)

.PHONY: test-cluster
test-cluster: dev ## Tests against a real API server
	@$(DEV) tools etcd kube-apiserver kube-apiserver-oldest kube-controller-manager kubectl helm helm3 prometheus > /dev/null
	@$(PYTHON) -m pytest tests/cluster $(PARALLEL) $(SERVERS)

.PHONY: test-browser
test-browser: dev ## Tests of the page in a real Chromium: JOBTIDE_CHROMIUM=... for one of yours
	@$(PYTHON) -m pytest tests/browser $(PARALLEL) $(SERVERS)

.PHONY: test-e2e
test-e2e: dev images ## Tests with real pods, images and Helm: CONTEXT=... for an existing cluster
	@$(DEV) tools kubectl helm helm3 > /dev/null
	@$(PYTHON) -m pytest tests/e2e $(SERVERS)

.PHONY: check
check: dev ## Format, lint, words, types, import contracts, generated files, documentation, chart, dry run of a release
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(DEV).words
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(PYTHON) -m dev.generate --check
	@$(PYTHON) -m dev.site > /dev/null
	@git ls-files -z '*.sh' .ci/run | xargs -0 $(BIN)/shellcheck
	@$(BIN)/yamllint --strict -d '$(YAML_RULES)' $(wildcard $(YAML))
	@for helm in $$($(DEV) tools helm helm3); do $$helm lint --strict --quiet charts/jobtide; done
	@$(PYTHON) -m dev.release --check

.PHONY: format
format: dev ## Format the code, and fix what the linter can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: generate
generate: dev ## Write the CRD, the chart's schema and dashboards, and the references from the models
	@$(PYTHON) -m dev.generate

.PHONY: docs
docs: dev ## Build the documentation as a site in build/site: VERSIONS="v0.2.0 v0.3.0" URL=https://docs.example.com/
	@$(PYTHON) -m dev.site $(VERSIONS) --url '$(or $(URL),/)'

.PHONY: requirements
requirements: dev ## Pin all dependencies by hash again, after a change in pyproject.toml
	@$(UV_COMPILE) --extra binary pyproject.toml --output-file requirements/worker.txt
	@$(UV_COMPILE) --extra controller pyproject.toml --output-file requirements/controller.txt
	@$(UV_COMPILE) --all-extras --group dev pyproject.toml --output-file requirements/dev.txt
	@$(UV_COMPILE) --extra dev --group demo pyproject.toml --output-file requirements/demo.txt
	@$(UV_COMPILE) --group bench --output-file requirements/bench.txt
	@$(UV_COMPILE) requirements/build.in --output-file requirements/build.txt
	@$(UV_COMPILE) requirements/uv.in --output-file requirements/uv.txt

.PHONY: bench
bench: dev ## Measure every figure of docs/benchmarks.md: BENCH=--full, BENCH="--only depth"
	@$(PYTHON) -m dev.bench $(BENCH)

.PHONY: chaos
chaos: dev ## Kill, freeze and cut off every part at random under load; account for every job: SECONDS=600 SEED=...
	@$(PYTHON) -m dev.chaos

.PHONY: images
images: cluster-up ## Build both images and load them into the cluster
	@$(DEV) images

.PHONY: release
release: dev ## Make everything that a release is, in build/release: VERSION=0.2.0
	@$(PYTHON) -m dev.release --version '$(VERSION)'

.PHONY: cluster-up
cluster-up: ## Start a cluster, or use the one that runs; print its kubeconfig
	@$(DEV) cluster-up

.PHONY: cluster-down
cluster-down: ## Remove that cluster and all its files
	@$(DEV) cluster-down
