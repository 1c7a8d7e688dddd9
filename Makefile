# `make demo` and `make test` need git, make and Python 3.11 or newer; everything else is installed into .venv.
# python3 if it is recent enough, else a versioned name, because python3 of Amazon Linux stays at 3.9.
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(or $(shell for each in python3 python3.11 python3.12 python3.13 python3.14; do \
  $$each $(NEW_ENOUGH) 2>/dev/null && echo $$each && break; done),python3)
PORT ?= 8765
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast test-most test-beside test-systemd soak lint types contracts check bench screenshots lock clean

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	@$(PYTHON) $(NEW_ENOUGH) 2>/dev/null || { \
	  echo "opsbot needs Python 3.11 or newer; $(PYTHON) is $$(command -v $(PYTHON) >/dev/null && $(PYTHON) -V 2>&1 || echo missing)."; \
	  echo "Amazon Linux 2023: dnf install python3.11. Debian 12, Ubuntu 24.04 and newer: apt-get install python3 python3-venv."; \
	  echo "Another path: make $(MAKECMDGOALS) PYTHON=/where/it/is/python3.12"; exit 1; }
	@$(BIN)/python $(NEW_ENOUGH) 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || \
	  { rm -rf $(VENV); echo "Python's venv module is missing. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/.runtime
	@exec $(BIN)/opsbot demo --port $(PORT)

# Test files run in parallel, three per core, because tests mostly wait; WORKERS=0 runs them sequentially.
WORKERS ?= $(shell expr 3 '*' $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1))
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder
# Otherwise each worker and each of the hundreds of Python processes started by tests would compile everything.
unexport PYTHONDONTWRITEBYTECODE

# tests/systemd runs in a separate systemd, as root, concurrently with all other tests, because it mostly
# waits, too. Its output is shown at the end. Skipped if ARGS names other tests.
test: $(VENV)/.dev
	$(if $(ARGS),$(PYTEST) $(ARGS),@$(MAKE) --no-print-directory --keep-going --jobs=2 test-most test-beside)

# No processes, no browser, no systemd: what one runs after each change. See PROCESSES in tests/conftest.py.
# One worker a core, for these compute more than they wait.
test-fast: WORKERS := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
test-fast: $(VENV)/.compiled
	$(PYTEST) -m "not processes" $(ARGS)

test-most: $(VENV)/.compiled
	$(PYTEST)

test-beside: $(VENV)/.compiled
	@$(MAKE) --no-print-directory test-systemd >$(VENV)/systemd.log 2>&1; ended=$$?; cat $(VENV)/systemd.log; exit $$ended

# Collecting all tests compiles them and their imports. Errors are reported by the test run itself.
$(VENV)/.compiled: $(VENV)/.dev
	@$(BIN)/python -m pytest --quiet --collect-only >/dev/null || true
	@touch $@

# Three files at a time: each makes systemd reload all unit files, which some tests check. Those in alone/ stop parts that
# the others need. Their failures are recorded separately from those of the other run.
LAB := -o cache_dir=.pytest_cache/systemd
test-systemd: $(VENV)/.dev
	tests/lab/inside $(PYTEST) $(LAB) --maxprocesses 3 $(if $(ARGS),$(ARGS),tests/systemd --ignore tests/systemd/alone)
	$(if $(ARGS),,tests/lab/inside $(BIN)/python -m pytest $(LAB) tests/systemd/alone)

# Several runs of `make test`, beside so many busy loops. See tests/README.md.
soak: $(VENV)/.dev
	@RUNS=$(or $(RUNS),10) LOAD=$(or $(LOAD),0) tests/soak

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

contracts: $(VENV)/.dev
	$(BIN)/lint-imports

check: lint types contracts test

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

screenshots: $(VENV)/.dev
	$(BIN)/python docs/screenshots.py

# Needs uv. No index URL and no host name goes into the lock files.
lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 \
	  pyproject.toml -o requirements/runtime.txt
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 \
	  pyproject.toml --extra notify -o requirements/notify.txt
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 \
	  pyproject.toml --extra notify --group dev -o requirements/dev.txt

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache
