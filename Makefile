# make help lists what there is. PYTHON is used once, to make .venv; ARGS goes to the command that is run.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

# .installed: the environment answers to pyproject.toml. .built: the extension answers to its sources.
INSTALLED := $(VENV)/.installed
BUILT := $(VENV)/.built
SOURCES := setup.py $(wildcard src/dnn/*.pyx src/dnn/*.px[di] src/dnn/*.h src/dnn/*.c)
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
	@echo "Each makes $(VENV) first if there is none: PYTHON=/path/to/python says with which Python."

demo: build
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

$(INSTALLED): pyproject.toml
	@$(PY) -c '$(NEW_ENOUGH)' 2>/dev/null || { \
	  $(PYTHON) -c '$(NEW_ENOUGH)' || { \
	    echo "dnn needs Python 3.11 or newer, and $(PYTHON) is none;" \
	      "name one: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3" >&2; exit 1; }; \
	  echo "making $(VENV) with $$($(PYTHON) -V)"; \
	  $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing dnn and what its development needs in $(VENV), compiling: a few minutes the first time"
	@$(PY) -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@ $(BUILT)

$(BUILT): $(SOURCES) $(if $(wildcard src/dnn/_core.*.so),,FORCE)
	@echo "build: compiling src/dnn/_core"
	@$(PY) setup.py -q build_ext --inplace
	@touch $@
