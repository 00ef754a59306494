# One command per job, the same locally and in CI. Each sets up .venv by itself when it is needed.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
READY := $(VENV)/.ready

.PHONY: demo test check format up bench faults fuzz mutants

demo: $(READY)  ## the main job end to end, on servers of its own
	$(BIN)/shoal demo

test: $(READY)  ## every test, several files at once
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

check: $(READY)  ## style, types, direction of imports, known holes in dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python deploy/audit.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

up: $(READY)  ## servers, worker, trainer and beat in the foreground
	$(BIN)/shoal up

faults: $(READY)  ## the long form of the fault tests; writes the table of docs/reliability.md
	$(BIN)/python -m tests.system.faults.table

mutants: $(READY)  ## takes each remedy out by itself; a test must fail
	$(BIN)/python -m tests.mutants

BENCHMARKS := predict submit delivery bulk throughput latency scaling
bench: $(READY)  ## speed; what judges models takes hours and is run by name, see benchmarks/RESULTS.md
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done

fuzz: $(READY)  ## hostile pictures and 10,000 mutations, see docs/reliability-pictures.md
	$(BIN)/python -m tests.fuzz --mutations 10000

# pip, not uv: pip takes the build of torch that fits the machine from wherever pip is told to look.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Shoal needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python has no venv module here: apt-get install python3-venv"; exit 1; }
	@echo "set-up 1 of 3: an environment of its own in $(VENV), some seconds"
	@$(PYTHON) -m venv $(VENV)
	@echo "set-up 2 of 3: the newest pip, some seconds"
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@echo "set-up 3 of 3: Shoal and what it needs, torch above all: 2 to 10 minutes without a word, as the network is"
	@$(BIN)/python -m pip install --quiet --editable '.[all,dev]'
	@touch $@
