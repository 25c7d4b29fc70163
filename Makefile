# One line a task. PYTHON is the interpreter that the virtual environment is made with.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo setup check lint format types test coverage proto golden bench clean

demo: setup ; $(BIN)/caffelite demo
setup: $(VENV)/.dev
$(VENV)/.dev: pyproject.toml ; $(PYTHON) -m venv $(VENV) && $(BIN)/pip install -q -e '.[dev]' && touch $@
check: lint types test
lint: setup ; $(BIN)/ruff check . && $(BIN)/ruff format --check .
format: setup ; $(BIN)/ruff check --fix . ; $(BIN)/ruff format .
types: setup ; $(BIN)/mypy
test: setup ; $(BIN)/pytest
coverage: setup ; $(BIN)/pytest --cov --cov-report=term
proto: setup ; $(BIN)/python tools/compile_proto.py
golden: setup ; CAFFELITE_REWRITE_GOLDEN=1 $(BIN)/pytest tests/plan
bench: setup ; $(BIN)/python -m benchmarks
clean: ; rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
