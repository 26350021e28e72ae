# `make demo`, `make model`, `make test` and `make site` build .venv themselves; `make site` serves the documentation and the
# reports, `make model CONFIG=dpm-tiny` trains a small one of the shipped models on two CPU cores, `make model-diffusion
# CONFIG=dpm-diffusion-tiny` a small latent diffusion model.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
SITE_STAMP := $(VENV)/.installed-site
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
export NO_MKDOCS_2_WARNING := 1

.PHONY: venv demo model model-diffusion test lint site clean

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name one with make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable '.[dev]'
	@touch $@

$(SITE_STAMP): $(STAMP)
	$(INSTALL) --editable '.[dev,site]'
	@touch $@

venv: $(STAMP)

demo: $(STAMP)
	$(RUN) -m experiments.quickstart --out demo

model: $(STAMP)
	$(RUN) -m experiments.recipe --config $(or $(CONFIG),dpm) --out model

model-diffusion: $(STAMP)
	$(RUN) -m experiments.recipe --config $(or $(CONFIG),dpm-diffusion) --out model-diffusion

test: $(SITE_STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(RUN) -m ruff check .

site: $(SITE_STAMP)
	$(RUN) -m mkdocs serve

clean:
	rm -rf $(VENV) demo build site *.egg-info
