# `make demo` and `make test` build .venv themselves; `make site` serves the documentation.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: venv demo test lint clean

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name one with make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

venv: $(STAMP)

demo: $(STAMP)
	$(RUN) -m experiments.quickstart --out demo

test: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m pytest

lint: $(STAMP)
	$(RUN) -m ruff check .

clean:
	rm -rf $(VENV) demo build *.egg-info
