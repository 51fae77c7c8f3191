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

# From npm: mailauth gives a second opinion on DKIM, ARC and DMARC, nodemailer sends like a web application, Haraka is a mail
# server that asks rspamd and spamd. Their exact versions are named here alone.
.venv/installed-for-tests: .venv/installed Makefile
	$(PIP) install -c constraints.txt -e '.[test]'
	$(BIN)/npm install --prefix .venv/mailauth --no-package-lock --no-save --no-audit --no-fund --ignore-scripts \
	  --omit=optional --loglevel=error mailauth@7.1.0 nodemailer@10.0.10 \
	  Haraka@3.3.4 haraka-plugin-rspamd@1.6.1 haraka-plugin-spamassassin@1.1.2 >/dev/null
	@touch $@
