# Everything happens in .venv; `make run` and `make test` make it by themselves.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: install run test lint bench bench-check

install: .venv/installed

run: .venv/installed
	exec $(BIN)/filterproxy run --demo

test: .venv/installed-for-tests
	tests/debian-packages
	$(MAKE) --no-print-directory lint
	$(BIN)/pytest

lint: .venv/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-for-tests
	$(BIN)/python benchmarks/throughput.py

# Ratios of CPU against those kept in benchmarks/baseline.json.
bench-check: .venv/installed-for-tests
	$(BIN)/python benchmarks/check.py

# The stamps are newer than what they were made from, so that the second time takes no time.
.venv/installed: pyproject.toml constraints.txt
	@echo "Installing into .venv (a minute or two the first time)"
	$(PYTHON) -m venv .venv
	$(PIP) install -c constraints.txt -e .
	@touch $@

# mailauth (Node, from npm) gives a second opinion on DKIM, ARC and DMARC, nodemailer sends like a web application; their
# exact versions are named here alone.
.venv/installed-for-tests: .venv/installed
	$(PIP) install -c constraints.txt -e '.[test]'
	$(BIN)/npm install --prefix .venv/mailauth --no-package-lock --no-save --no-audit --no-fund --ignore-scripts \
	  --loglevel=error mailauth@7.1.0 nodemailer@10.0.10 >/dev/null
	@touch $@
