# Every target makes its own environment in .venv when there is none; python3 with venv, gcc and make are enough.
#
#   make demo       train on scanned digits and draw examples/out/digits.png
#   make test       the tests, without the slow ones        make test-all   with them
#   make lint       ruff, pyright and the import order      make format     rewrite the source as ruff would have it
#   make bench      fnn beside JAX and PyTorch              make bench-quick  fnn alone, the short programs
#   make clean      remove the environment and what was built

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
JOBS ?= 2

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-all lint format bench bench-quick clean

help:
	@sed -n 's/^#   //p' Makefile

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "fnn needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "no environment could be made; on Debian: apt-get install python3-venv" >&2; exit 1; }

# One stamp for each extra, older than pyproject.toml when the requirements have changed.
$(VENV)/.installed-%: pyproject.toml fnn/version.py | $(RUN)
	@echo "installing fnn[$*] into $(VENV)"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

$(VENV)/.jax-libraries: tests/jax_libraries.txt | $(RUN)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

demo: $(VENV)/.installed-examples
	@$(RUN) examples/digits.py

test: $(VENV)/.installed-test $(VENV)/.jax-libraries
	@$(RUN) -m pytest -q -n $(JOBS) --durations=10

test-all: $(VENV)/.installed-test $(VENV)/.jax-libraries
	@$(RUN) -m pytest -q -n $(JOBS) --durations=25 -m ""

lint: $(VENV)/.installed-dev
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m pyright --pythonpath $(RUN)
	@$(VENV)/bin/lint-imports --no-logo

format: $(VENV)/.installed-dev
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

bench: $(VENV)/.installed-bench
	@$(RUN) tests/benchmarks/run.py --rounds 3 --markdown docs/benchmarks.md --picture docs/benchmarks.svg

bench-quick: $(VENV)/.installed-examples
	@$(RUN) tests/benchmarks/run.py --quick

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache examples/out
