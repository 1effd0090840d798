# make test: everything CI checks. make demo: the product on the bundled speaker.
# make bench: the regression board; fails when a headline falls.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := $(if $(filter cuda,$(TORCH)),,-c constraints-cpu.txt)

.PHONY: install test lint demo bench clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints-cpu.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e ".[dev]"
	touch $@

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

demo: install
	$(BIN)/talk3d demo -o demo

bench: install
	OMP_NUM_THREADS=2 $(BIN)/python benchmarks/board.py -o build/bench

clean:
	rm -rf $(VENV) demo build dist
