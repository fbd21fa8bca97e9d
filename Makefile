# make reproduce   set up, run the pipeline, say where the figures and the report are
# make test        set up, run the tests
# make doctor      look for what would stop the pipeline on this machine, and say what to do
# make check       what CI runs: format, lint, types, tests
# make faults      make things go wrong, and count how they are met, an hour; reports/benchmarks/faults.json, for git
# make bench      seconds, ratios, hit rates and calibration, on this machine, an hour; reports/*.json
# make paper DATASET=cifar10 [START=removal]
#                  measure a data set that is not embedded, minutes to hours; reports/measured/cifar10, for git
#                  (cifar10, stl10, emotion, ag_news; or _small, a part of each: cifar10_small ...)
# make mine DATA=photos [NAME=mine]
#                  the ceiling of your own data, a folder of images per class or a csv (text,label); scratch/mine/NAME
# make gpu         check and time everything on CUDA, under 8 minutes; gpu.json
# make ui          compare runs in the MLflow UI, http://127.0.0.1:5000
# make readme      renew the generated parts of README.md
# make constraints renew constraints.txt from requirements.txt

PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
SETUP := $(VENV)/.complete
export PATH := $(BIN):$(PATH)

.PHONY: reproduce doctor test check format lint types bench faults paper mine gpu ui readme constraints

reproduce: doctor
	dvc repro
	@echo
	@echo "figures: reports/figures/<data set>/*.png"
	@echo "report:  reports/index.html"
	@echo "compare: make ui"

doctor: $(SETUP)
	@python -m stages.doctor

test: $(SETUP)
	pytest -n 2 --dist loadfile

check: format lint types test

format: $(SETUP)
	ruff format --check .

lint: $(SETUP)
	ruff check .

types: $(SETUP)
	mypy

bench: $(SETUP)
	python -m benchmarks.speed.influence reports/benchmarks/influence.json
	python -m benchmarks.speed.training reports/benchmarks/training.json
	python -m benchmarks.speed.linear_program reports/benchmarks/linear_program.json
	python -m benchmarks.science.hit_rates reports/benchmarks/hit_rates.json
	python -m benchmarks.science.calibration digits reports/benchmarks/calibration.json

faults: $(SETUP)
	python -m benchmarks.faults.count reports/benchmarks/faults.json

paper: $(SETUP)
	catwise measure $(DATASET) $(if $(START),--start $(START))

mine: $(SETUP)
	@catwise diagnose "$(DATA)" $(if $(NAME),--name "$(NAME)")

gpu: $(SETUP)
	python -m benchmarks.speed.gpu gpu.json

ui: $(SETUP)
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true mlflow ui --host 127.0.0.1 --port 5000 \
	  --backend-store-uri sqlite:///mlflow.db --default-artifact-root mlartifacts --workers 1

readme: $(SETUP)
	python -m docs.generate

$(SETUP): requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

constraints:
	$(PYTHON) -m venv $(VENV)-fresh
	sed '/^-c/d' requirements.txt > $(VENV)-fresh/requirements.txt
	$(VENV)-fresh/bin/python -m pip install --quiet -r $(VENV)-fresh/requirements.txt
	$(VENV)-fresh/bin/python -m pip freeze > constraints.txt
	rm -r $(VENV)-fresh
