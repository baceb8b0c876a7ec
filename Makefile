# Everything a newcomer or CI calls. `make run` tries it, `make test` checks it, `make bench` measures it.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3

# More than two cores have: most tests wait most of the time.
TEST_PROCESSES ?= 4

.PHONY: run test lint types tests coverage bench clean

run: $(VENV)/.installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/first-run.sh

test: lint types tests

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

tests: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_OPTIONS)

coverage: $(VENV)/.installed-test
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report

bench: $(VENV)/.installed-test
	$(BIN)/python -m tests.benchmarks $(BENCH_OPTIONS)

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created setup.cfg pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@
