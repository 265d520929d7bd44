# Everything a newcomer, a developer and CI need; only Python 3.11 or newer must be there already.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
THREADS ?= 2

.PHONY: help demo test lint format sample-data plugin test-qgis clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

# Two stamps: what a user installs, and what a developer installs on top of it.
$(VENV)/.user: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.developer: $(VENV)/.user
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: $(VENV)/.user ## register the sample pair; leaves a raster, tie points and a report in demo/
	mkdir -p demo
	$(BIN)/georeg match sample_data/sar.tif sample_data/optical.tif demo/sar_registered.tif \
	  --points demo/tie_points.gpkg --report demo/report.html --registration demo/registration.json --overwrite
	@echo "Look at demo/report.html, and lay demo/sar_registered.tif over sample_data/optical.tif."

test: $(VENV)/.developer ## the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(THREADS) tests

lint: $(VENV)/.developer ## ruff, mypy and the layering rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.developer ## put the code into its usual form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

sample-data: $(VENV)/.user ## make sample_data/ again from its seed
	$(BIN)/python sample_data/simulate.py sample_data

plugin: ## the QGIS plugin as a zip, in dist/
	$(PYTHON) qgis_plugin/package.py dist

test-qgis: $(VENV)/.user ## the plugin's tests in a real QGIS, which is installed where it is missing (Debian, Ubuntu)
	GEOREG_EXECUTABLE=$(CURDIR)/$(BIN)/georeg qgis_plugin/tests/run.sh

clean: ## remove what the other targets made
	rm -rf $(VENV) .venv-qgis .venv-qt6 demo build dist *.egg-info
