# Everything a developer does has a target here; CI calls the same ones.
#   make demo    the main job: a sentence encoder, compiled, and a search with it
#   make test    all tests
#   make test-versions  all tests under every CPython of VERSIONS that runs here, each in an environment of its own
#   make fuzz    random programs against eager, for as long as FUZZ_EXAMPLES says
#   make check   lint, format, types, import layers
#   make opinfo  PyTorch's operator database against eager, whole; writes docs/operators.md and docs/accuracy.md
#   make bench   eager, torch.compile and graphwright side by side
#   make sizes   what is longer than the house style aims at
#   make docs    write the generated pages again

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt
JOBS ?= 2
VERSIONS ?= 3.11 3.12 3.13 3.14
FUZZ_EXAMPLES ?= 5000
# Two test processes and their kernels' threads share the cores: waiting threads must sleep, not spin.
TEST_ENV = OMP_WAIT_POLICY=passive HF_HUB_OFFLINE=1

.DEFAULT_GOAL := help
.PHONY: help demo test test-versions fuzz check opinfo bench sizes docs clean

help:
	@sed -n 's/^#   make/  make/p' Makefile

$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/graphwright demo

test: $(VENV)/.dev
	$(TEST_ENV) $(BIN)/python -m pytest --numprocesses $(JOBS)

test-versions:
	@tested=; failed=; missing=; \
	for version in $(VERSIONS); do \
	  if ! python$$version --version >/dev/null 2>&1; then missing="$$missing $$version"; continue; fi; \
	  tested="$$tested $$version"; \
	  $(MAKE) test PYTHON=python$$version VENV=.venv-$$version || failed="$$failed $$version"; \
	done; \
	echo "tested under CPython:$${tested:- none}; failed:$${failed:- none}; not found:$${missing:- none}"; \
	test -n "$$tested" && test -z "$$failed"

fuzz: $(VENV)/.dev
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(TEST_ENV) $(BIN)/python -m pytest tests/fuzz/test_random_programs.py

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell src tests docs scripts *.md
	$(BIN)/mypy
	$(BIN)/lint-imports

opinfo: $(VENV)/.dev
	mkdir -p build
	-PYTHONPATH=scripts $(TEST_ENV) $(BIN)/python -m opinfo run build/opinfo.jsonl --jobs $(JOBS)
	PYTHONPATH=scripts $(BIN)/python -m opinfo page build/opinfo.jsonl docs/operators.md
	PYTHONPATH=scripts $(BIN)/python -m opinfo accuracy build/opinfo.jsonl docs/accuracy.md

bench: $(VENV)/.demo
	$(BIN)/graphwright bench

sizes: $(VENV)/.dev
	$(BIN)/python scripts/sizes.py

docs: $(VENV)/.dev
	$(BIN)/python scripts/write_docs.py

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
