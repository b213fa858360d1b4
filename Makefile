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

# What open3d's wheel expects from the system; the names are those of Debian and Ubuntu.
LIBRARIES := libegl1 libgl1 libx11-6 libusb-1.0-0

.PHONY: demo test test-notebooks test-all lint types layers format notebooks docs setup bench distil loss-costs metric-costs mixture-costs data-costs network-costs start-up-costs libraries strace clean

demo: $(READY) $(OAK)  ## raw data of four qualities -> one mixed training -> evaluation -> report.html
	$(BIN)/depthmix demo $(DEMO) --preset $(DEMO_PRESET) --oak $(OAK)

test: $(READY) $(OAK)  ## the default suite, below 10 minutes on two cores
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-notebooks: $(READY)  ## every notebook from start to end
	$(BIN)/python -m pytest -q -m notebook tests/test_notebooks.py

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

docs: $(READY)  ## the site of docs/ below build/site; a warning is an error, nothing is fetched
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/mkdocs build --strict --quiet

bench: $(READY)  ## every recipe, three seeds, 800 steps of a pretrained encoder; two hours on two cores, resumable
	$(BIN)/depthmix bench recipes

distil: $(READY)  ## a small student with and without a teacher's labels, three seeds; about thirty CPU minutes
	$(BIN)/python benchmarks/distil.py

loss-costs: $(READY)  ## what every loss costs: time, operations, memory; a few minutes on one core
	$(BIN)/python benchmarks/losses.py

metric-costs: $(READY)  ## what alignment and measures cost beside plain NumPy; some minutes on one core
	$(BIN)/python benchmarks/metrics.py

mixture-costs: $(READY)  ## what it costs to say which sample comes next; a minute on one core
	$(BIN)/python benchmarks/mixture.py

network-costs: $(READY)  ## what every network costs: parameters, time for an image; some minutes on one core
	$(BIN)/python benchmarks/networks.py

start-up-costs: $(READY)  ## what the light commands cost to start; a minute on one core
	$(BIN)/python benchmarks/start_up.py

data-costs: $(READY) .cache/peers/.ready  ## what it costs to read and to hand over; ten minutes on two cores
	PYTHONPATH=. $(BIN)/python benchmarks/data.py

# Peers of that benchmark, apart from depthmix's environment, which must not hold torchvision.
.cache/peers/.ready:
	$(PYTHON) -m venv .cache/peers
	.cache/peers/bin/python -m pip --disable-pip-version-check install -q torch==2.13.0 litdata==0.2.76 \
		mosaicml-streaming==0.13.0 webdataset==1.0.2 datasets==5.0.1 opencv-python-headless==5.0.0.93
	touch $@

setup: $(READY) $(OAK)

$(READY): pyproject.toml constraints.txt Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -c 'import open3d' 2>/dev/null || $(MAKE) libraries
	touch $@

libraries:  ## the system libraries of open3d, on Debian and Ubuntu
	@command -v apt-get >/dev/null || { echo 'open3d does not import: install what Debian calls $(LIBRARIES)'; exit 1; }
	@test "$$(id -u)" = 0 || command -v sudo >/dev/null || { echo 'as root: apt-get install $(LIBRARIES)'; exit 1; }
	if [ "$$(id -u)" != 0 ]; then become=sudo; fi; \
	$$become apt-get update -q && $$become apt-get install -q -y --no-install-recommends $(LIBRARIES)
	$(BIN)/python -c 'import open3d'

strace:  ## what the crash tests kill runs with, on Debian and Ubuntu; without it they are skipped
	@command -v strace >/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get update -q && apt-get install -q -y --no-install-recommends strace; \
	} || echo 'strace is missing: the crash tests that need it are skipped'

$(OAK):
	mkdir -p $(@D)
	$(PYTHON) -m pip --disable-pip-version-check download -q --no-deps --dest $(@D) stereodemo==0.7
	echo '$(OAK_SHA256)  $@' | sha256sum --check --quiet || { rm -f $@; exit 1; }

clean:
	rm -rf $(VENV) .cache $(DEMO)
