# make help lists the targets. PYTHON is used once, to make .venv; ARGS goes to the command that is run.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

# .installed: all that development needs is there, as pyproject.toml says; .demo: only what the demonstration needs.
# .built: the extension answers to its sources.
INSTALLED := $(VENV)/.installed
DEMO := $(VENV)/.demo
BUILT := $(VENV)/.built
SOURCES := setup.py $(wildcard src/dnn/*.pyx src/dnn/core/*.* src/dnn/core/kernels/*.*)
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: help demo test build lint bench docs clean FORCE

help:
	@echo "make demo    train on scikit-learn's digits, print what happened, draw a picture"
	@echo "make test    run the tests                      (ARGS='-k adam' for some of them)"
	@echo "make build   compile src/dnn/_core again, if its sources changed"
	@echo "make lint    ruff check, ruff format --check, mypy"
	@echo "make bench   run the benchmarks                 (ARGS=--quick for a first look)"
	@echo "make docs    make the pages, build/docs/index.html; a warning is an error"
	@echo "make clean   remove what was built, but not $(VENV)"
	@echo "Each makes $(VENV) first if there is none (demo: 400 MB, the others: 1 GB):"
	@echo "PYTHON=/path/to/python says with which Python."

# An environment that development made already has what the demonstration needs: nothing is installed twice.
demo: $(if $(wildcard $(INSTALLED)),build,$(DEMO))
	@$(MAKE) -s $(BUILT)
	@echo "demo: python -m dnn demo, in $(VENV) ($$($(PY) -V))"
	@$(PY) -m dnn demo $(ARGS)

test: build
	@echo "test: pytest, in $(VENV) ($$($(PY) -V))"
	@$(PY) -m pytest $(ARGS)

# Make again, so that it looks anew at .built, which installing has just touched: one compile, not two.
build: $(INSTALLED)
	@$(MAKE) -s $(BUILT)

lint: $(INSTALLED)
	@echo "lint: ruff check, ruff format --check, mypy"
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy

bench: build
	@echo "bench: benchmarks/run.py, in $(VENV) ($$($(PY) -V))"
	@$(PY) benchmarks/run.py $(ARGS)

# In the environment that the tests have: nothing is fetched.
docs: build
	@echo "docs: sphinx, in $(VENV) ($$($(PY) -V)): half a minute, for the demonstrations are run"
	@$(PY) -m sphinx -q -W --keep-going -b html docs build/docs $(ARGS)
	@echo "docs: build/docs/index.html"

clean:
	rm -rf build dist docs/generated docs/gallery src/*.egg-info src/dnn/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Makes $(VENV), unless there is one with a Python that is new enough.
define make_venv
@$(PY) -c '$(NEW_ENOUGH)' 2>/dev/null || { \
	  $(PYTHON) -c '$(NEW_ENOUGH)' || { \
	    echo "dnn needs Python 3.11 or newer, and $(PYTHON) is none;" \
	      "name one: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3" >&2; exit 1; }; \
	  echo "making $(VENV) with $$($(PYTHON) -V)"; \
	  $(PYTHON) -m venv --clear $(VENV); }
endef

# pip tells what it fetches and builds: nobody should wait a minute for a silent command.
$(DEMO): pyproject.toml
	$(make_venv)
	@echo "demo: installing dnn with NumPy, SciPy, scikit-learn, matplotlib and tqdm in $(VENV)"
	@echo "demo: about 400 MB on disk; with the compilation of dnn two to three minutes, and only once"
	@$(PY) -m pip install --disable-pip-version-check --progress-bar off -e '.[all]'
	@touch $@ $(BUILT)

$(INSTALLED): pyproject.toml
	$(make_venv)
	@echo "installing dnn and what its development needs in $(VENV), compiling: a few minutes the first time"
	@$(PY) -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@ $(BUILT)

# Without Cython, which the demonstration does not need, pip builds in an environment of its own.
$(BUILT): $(SOURCES) $(if $(wildcard src/dnn/_core.*.so),,FORCE)
	@echo "build: compiling src/dnn/_core"
	@if $(PY) -c 'import Cython, setuptools' 2>/dev/null; \
	  then $(PY) setup.py -q build_ext --inplace; \
	  else $(PY) -m pip install -q --disable-pip-version-check --no-deps -e .; fi
	@touch $@
