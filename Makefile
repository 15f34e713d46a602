# Targets explain themselves: make help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLUSTER := $(PYTHON) -m tests.cluster
export UV_CUSTOM_COMPILE_COMMAND := make lock
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes

.PHONY: help
help:  ## Show the targets
	@grep -hE '^[a-z0-9-]+:.*  ## ' $(MAKEFILE_LIST) | awk -F ':.*  ## ' '{printf "  %-16s %s\n", $$1, $$2}'

##@ First steps

.PHONY: demo
demo: install  ## From a fresh clone to classified sensor data (FILES=dir: your own files)
	@$(PYTHON) -m tests.demo $(if $(FILES),--files "$(FILES)")

.PHONY: test
test: install lint verify  ## Everything: static checks, generated files, unit, contract and e2e tests
	@PYTHON=$(PYTHON) CLUSTERS=2 bash tests/run.sh $(BIN)/pytest -n 2

.PHONY: faults-ci
faults-ci: install  ## The faults: every plan on the fake, 300 and more on the real API server, 10,000 generated objects
	@PYTHON=$(PYTHON) bash tests/run.sh $(BIN)/python -m tests.faults ci

.PHONY: faults
faults: install  ## The faults without a limit of time: every plan on the real API server too
	@PYTHON=$(PYTHON) bash tests/run.sh $(BIN)/python -m tests.faults ci --everything

##@ Single steps

.PHONY: install
install: $(VENV)/.installed  ## Make .venv from the lock file, hashes checked

$(VENV)/.installed: requirements/dev.txt pyproject.toml
	@echo "install: .venv from requirements/dev.txt"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: fmt
fmt: install  ## Format the code
	@$(BIN)/ruff check --quiet --fix-only . && $(BIN)/ruff format --quiet .

.PHONY: lint
lint: install  ## ruff, mypy --strict, import-linter
	@echo "lint: ruff"; $(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@echo "lint: mypy --strict"; $(BIN)/mypy --no-error-summary
	@echo "lint: imports"; $(BIN)/lint-imports | tail -n 3

.PHONY: unit
unit: install  ## Unit tests: no cluster
	@$(BIN)/pytest tests/unit tests/arch

.PHONY: contract
contract: install cluster-up  ## Contract tests: ask the real API server
	@$(BIN)/pytest tests/contract

.PHONY: e2e
e2e: install cluster-up images  ## End-to-end tests: whole jobs on the real node
	@$(BIN)/pytest tests/e2e

.PHONY: simulate
simulate: install  ## The scheduler on a virtual clock: a week of load, figures into docs/queue.md, bars (SEEDS=1 JOBS=3000: a look)
	@$(BIN)/python -m tests.simulate $(if $(SEEDS)$(JOBS),$(if $(SEEDS),--seeds $(SEEDS)) $(if $(JOBS),--jobs $(JOBS)),--docs docs/queue.md)

.PHONY: queue-load
queue-load: install  ## 10,000 jobs in one Queue of the real API server: figures and bars, into docs/queue.md (JOBS=1000)
	@PYTHON=$(PYTHON) bash tests/run.sh $(BIN)/python -m tests.queue_load --write $(if $(JOBS),--jobs $(JOBS))

.PHONY: bench
bench: install  ## This operator beside bare scripts and peers: figures and picture, into docs/performance.md (75 min; LOOK=1: does it run?)
	@$(BIN)/python -m tests.bench $(if $(LOOK),--look,--write)

##@ Generated files

.PHONY: generate
generate: install  ## Write crds/, the chart's copy of them, and manifests/install.yaml
	@$(BIN)/python -m tests.generate .

.PHONY: verify
verify: install  ## Fail where a generated file or a lock file is not as its source says
	@echo "verify: generated files"; $(BIN)/python -m tests.generate --check .
	@echo "verify: lock files"; $(MAKE) --no-print-directory lock-files OUT=$$(mktemp -d) CHECK=1

.PHONY: lock
lock: install  ## Write the lock files anew from pyproject.toml (UPGRADE=1: newest versions)
	@$(MAKE) --no-print-directory lock-files OUT=requirements

.PHONY: lock-files
lock-files:
	@if [ "$(OUT)" != requirements ]; then cp requirements/*.txt "$(OUT)/"; fi
	@$(LOCK) $(if $(UPGRADE),--upgrade) pyproject.toml -o "$(OUT)/operator.txt"
	@$(BIN)/python -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["worker"]))' \
		| $(LOCK) $(if $(UPGRADE),--upgrade) - -o "$(OUT)/worker.txt"
	@$(LOCK) $(if $(UPGRADE),--upgrade) --group build -o "$(OUT)/build.txt"
	@$(LOCK) $(if $(UPGRADE),--upgrade) pyproject.toml --extra worker --group dev -o "$(OUT)/dev.txt"
	@if [ -n "$(CHECK)" ]; then diff -rq requirements "$(OUT)" || { echo "lock files differ from pyproject.toml: run make lock" >&2; exit 1; }; rm -r "$(OUT)"; fi

##@ Local cluster

.PHONY: cluster-up
cluster-up:  ## A real cluster on this machine; a second time: nothing to do
	@$(CLUSTER) up

.PHONY: cluster-down
cluster-down:  ## End it, and leave nothing behind
	@$(CLUSTER) down

.PHONY: cluster-status
cluster-status:  ## Its components, addresses and log files
	@$(CLUSTER) status

.PHONY: images
images: install  ## Build the operator's and the worker's image and bring them to the cluster
	@$(CLUSTER) images

.PHONY: clean
clean: cluster-down  ## Remove what was built in this checkout
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo-results bench-results
