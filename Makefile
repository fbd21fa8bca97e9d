PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
SETUP := $(VENV)/.complete
PIP := "$(BIN)/python" -m pip --quiet --disable-pip-version-check
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help reproduce doctor test quick check format lint types docs bench faults paper mine gpu ui readme constraints

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# dvc runs one stage at a time. Data sets do not wait for one another: two dvc, sharing one lock, fill two cores.
reproduce: doctor ## set up, run the pipeline, say where the figures and the report are
	dvc stage list --name-only | grep -E '^(carried$$|track@)' | sort | xargs -n 1 -P 2 dvc --wait-for-lock repro
	dvc repro
	@echo
	@echo "figures: reports/figures/<data set>/*.png"
	@echo "report:  reports/index.html"
	@echo "compare: make ui"

doctor: $(SETUP) ## look for what would stop the pipeline on this machine, and say what to do
	@python -m catwise doctor

test: $(SETUP) ## set up, run all tests; OPTIONS="--durations 20" goes to pytest
	pytest -n 2 --dist loadfile --no-loadscope-reorder $(OPTIONS)

quick: $(SETUP) ## the tests that are not marked slow, in a minute
	pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" $(OPTIONS)

check: format lint types test ## format, lint, types and tests: what CI runs first

format: $(SETUP) ## check the format
	ruff format --check .

lint: $(SETUP) ## lint the code, and with node the script of the page
	ruff check .
	@if command -v npm > /dev/null; \
	then { [ -d node_modules ] || npm install --silent; } && npm run --silent lint; \
	else echo "catwise/report/page.js is not linted: no node here"; fi

types: $(SETUP) ## check the types
	mypy

docs: $(SETUP) ## build the pages of docs/ and the reference of the library into scratch/site
	$(PIP) install -r requirements-docs.txt
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

bench: $(SETUP) ## measure seconds, ratios and hit rates, an hour; reports/benchmarks
	python -m benchmarks.speed.influence reports/benchmarks/influence.json
	python -m benchmarks.speed.training reports/benchmarks/training.json
	python -m benchmarks.speed.allocation reports/benchmarks/allocation.json
	python -m benchmarks.speed.linear_program reports/benchmarks/linear_program.json
	python -m benchmarks.science.hit_rates reports/benchmarks/hit_rates.json

faults: $(SETUP) ## make things go wrong, and count how they are met, an hour; reports/benchmarks
	python -m benchmarks.faults.count reports/benchmarks/faults.json

paper: $(SETUP) ## DATASET=cifar10 [START=removal]: measure a set that needs a download, minutes to hours
	python -m catwise measure $(DATASET) $(if $(START),--start $(START))

mine: $(SETUP) ## DATA=photos [NAME=mine]: the ceiling of your own images or texts; scratch/mine/NAME
	@python -m catwise diagnose "$(DATA)" --name "$(or $(NAME),mine)" --out "scratch/mine/$(or $(NAME),mine)"

gpu: $(SETUP) ## check and time everything on CUDA, under 8 minutes; gpu.json
	python -m benchmarks.speed.gpu gpu.json

ui: $(SETUP) ## compare runs in MLflow, http://127.0.0.1:5000
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true mlflow ui --host 127.0.0.1 --port 5000 \
	  --backend-store-uri sqlite:///mlflow.db --default-artifact-root mlartifacts --workers 1

readme: $(SETUP) ## renew the generated parts of README.md and docs/
	python -m docs.generate

constraints: ## renew constraints.txt from requirements.txt and requirements-docs.txt
	$(PYTHON) -m venv $(VENV)-fresh
	sed '/^-c/d' requirements.txt requirements-docs.txt > $(VENV)-fresh/requirements.txt
	$(VENV)-fresh/bin/python -m pip install --quiet -r $(VENV)-fresh/requirements.txt
	$(VENV)-fresh/bin/python -m pip freeze > constraints.txt
	rm -r $(VENV)-fresh

$(SETUP): requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -r requirements.txt
	@touch $@
