# make help lists the targets. PYTHON is used only to create .venv; ARGS is passed to the command that is run.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

# .installed marks that all development dependencies of pyproject.toml are installed, .demo that those of the
# demonstration are, and .built that the extension was compiled from its present sources.
INSTALLED := $(VENV)/.installed
DEMO := $(VENV)/.demo
BUILT := $(VENV)/.built
SOURCES := setup.py $(wildcard src/dnn/*.pyx src/dnn/core/*.* src/dnn/core/kernels/*.*)
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: help demo test build lint bench docs clean FORCE

help:
	@echo "make demo    train on scikit-learn's digits, print the results, draw a picture"
	@echo "make test    run the tests                      (ARGS='-k adam' selects some)"
	@echo "make build   compile src/dnn/_core if its sources have changed"
	@echo "make lint    ruff check, ruff format --check, mypy"
	@echo "make bench   run the benchmarks                 (ARGS=--quick for a short trial)"
	@echo "make docs    build the documentation in build/docs; a warning is an error"
	@echo "make clean   remove all build results except for $(VENV)"
	@echo "Each target creates $(VENV) first if it does not exist (demo: 400 MB, the others: 1 GB)."
	@echo "PYTHON=/path/to/python selects the Python for it."

# A development environment already has all dependencies of the demonstration, so that nothing is installed twice.
demo: $(if $(wildcard $(INSTALLED)),build,$(DEMO))
	@$(MAKE) -s $(BUILT)
	@echo "demo: python -m dnn demo, in $(VENV) ($$($(PY) -V))"
	@$(PY) -m dnn demo $(ARGS)

test: build
	@echo "test: pytest, in $(VENV) ($$($(PY) -V))"
	@$(PY) -m pytest $(ARGS)

# Run make again, so that it looks at .built again, which the installation has just touched: this avoids a second compilation.
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

# Uses the environment of the tests and downloads nothing.
docs: build
	@echo "docs: sphinx, in $(VENV) ($$($(PY) -V)): takes half a minute, as it runs the demonstrations"
	@$(PY) -m sphinx -q -W --keep-going -b html docs build/docs $(ARGS)
	@echo "docs: build/docs/index.html"

clean:
	rm -rf build dist docs/generated docs/gallery src/*.egg-info src/dnn/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Creates $(VENV), unless it exists and its Python is new enough.
define make_venv
@$(PY) -c '$(NEW_ENOUGH)' 2>/dev/null || { \
	  $(PYTHON) -c '$(NEW_ENOUGH)' || { \
	    echo "dnn needs Python 3.11 or newer, and $(PYTHON) is not;" \
	      "select one: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3" >&2; exit 1; }; \
	  echo "creating $(VENV) with $$($(PYTHON) -V)"; \
	  $(PYTHON) -m venv --clear $(VENV); }
endef

# pip prints what it downloads and builds, because the command takes minutes.
$(DEMO): pyproject.toml
	$(make_venv)
	@echo "demo: installing dnn with NumPy, SciPy, scikit-learn, matplotlib and tqdm in $(VENV)"
	@echo "demo: this needs about 400 MB on disk and, with the compilation of dnn, two to three minutes, only once"
	@$(PY) -m pip install --disable-pip-version-check --progress-bar off -e '.[all]'
	@touch $@ $(BUILT)

$(INSTALLED): pyproject.toml
	$(make_venv)
	@echo "installing dnn and its development dependencies in $(VENV); this takes a few minutes, only once"
	@$(PY) -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@ $(BUILT)

# Without Cython, which the demonstration does not need, pip builds in an isolated environment.
$(BUILT): $(SOURCES) $(if $(wildcard src/dnn/_core.*.so),,FORCE)
	@echo "build: compiling src/dnn/_core"
	@if $(PY) -c 'import Cython, setuptools' 2>/dev/null; \
	  then $(PY) setup.py -q build_ext --inplace; \
	  else $(PY) -m pip install -q --disable-pip-version-check --no-deps -e .; fi
	@touch $@
