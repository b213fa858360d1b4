# Two commands on a fresh machine: `make demo` (set-up and the main job) and `make test` (set-up and tests).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
READY := $(VENV)/.ready
DEMO ?= depthmix-demo
DEMO_PRESET ?= demo
# One thread per process: two OpenMP threads on a busy machine cost several times the CPU time.
export OMP_NUM_THREADS ?= 1

# Real stereo pairs that any machine can fetch; the wheel is read as a zip, never installed (it pulls torchvision).
OAK := .cache/stereodemo-0.7-py3-none-any.whl
OAK_SHA256 := effd07da657295e834aa1b0c89cc962e953d66b506a75365ad32a1114f2389ec

.PHONY: demo test test-all lint types layers format notebooks setup first-look loss-costs clean

demo: $(READY) $(OAK)  ## raw data of four qualities -> one mixed training -> evaluation -> report.html
	$(BIN)/depthmix demo $(DEMO) --preset $(DEMO_PRESET) --oak $(OAK)

test: $(READY) $(OAK)  ## the default suite, below 10 minutes on two cores
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-all: $(READY) $(OAK)  ## the default suite and the slow tests
	$(BIN)/python -m pytest -q -m "slow or not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: $(READY)  ## execute the notebooks again and keep their outputs
	$(BIN)/python notebooks/refresh.py

first-look: $(READY) $(OAK)  ## three recipes, three seeds, 3 200 steps each; about an hour on two cores
	$(BIN)/python benchmarks/first_look.py

loss-costs: $(READY)  ## what every loss costs: time, operations, memory; a few minutes on one core
	$(BIN)/python benchmarks/losses.py

setup: $(READY) $(OAK)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	touch $@

$(OAK):
	mkdir -p $(@D)
	$(PYTHON) -m pip --disable-pip-version-check download -q --no-deps --dest $(@D) stereodemo==0.7
	echo '$(OAK_SHA256)  $@' | sha256sum --check --quiet || { rm -f $@; exit 1; }

clean:
	rm -rf $(VENV) .cache $(DEMO)
