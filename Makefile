# All of it works with nothing installed but Python, make and a C++ compiler (pyfarmhash, which
# TFX needs, comes as source): pip brings uv into .tools/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-latest lint format legacy-lab support verdicts orchestrators benchmark lock clean

PYTHON ?= python3
UV_VERSION := 0.13.8
UV := .tools/bin/uv
UV_READY := .tools/uv-$(UV_VERSION)
# `make setup UV_PYTHON_DOWNLOADS=automatic` lets uv fetch a Python this machine lacks.
export UV_PYTHON_DOWNLOADS ?= never
# More for pytest, as in `make test ARGS="-k lstm"`.
ARGS ?=

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/complete ## Make .venv/ with all that requirements.lock names (Python 3.10)

demo: setup ## Migrate a stacked TensorFlow 1 LSTM, from its checkpoint to a blessed model
	.venv/bin/rnn-migrate run configs/stacked_lstm.yaml

test: setup ## Run all tests, the fast ones first
	.venv/bin/python -m pytest $(ARGS)

test-fast: setup ## Run all tests but the slow ones
	.venv/bin/python -m pytest -m "not slow" $(ARGS)

test-latest: .venv-latest/complete ## Run what needs no TFX on the newest packages (Python 3.12)
	.venv-latest/bin/python -m pytest -m "not tfx" $(ARGS)

lint: setup ## Check style, format and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

format: setup ## Mend what ruff can mend
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

legacy-lab: setup ## Write the golden artifacts again, in the real old frameworks
	.venv/bin/python tests/legacy_lab/build.py

support: setup ## Write the README's support tables again, from the registries and the lab
	.venv/bin/python -m tests.support

verdicts: setup ## Judge every right and many wrong conversions of the lab, into docs/verdicts.md
	.venv/bin/python -m tests.verdicts

orchestrators: setup ## Run one artifact locally, as Kubeflow does and on Airflow, into docs/orchestrators.md
	.venv/bin/python -m tests.orchestrators

benchmark: setup ## Measure the evaluator beside a plain loop over both models
	.venv/bin/python -m tests.benchmarks.evaluator

LOCK = $(UV) pip compile pyproject.toml --quiet --generate-hashes --annotation-style line \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: $(UV_READY) ## Write both locks again: requirements.lock keeps what fits, the other takes the newest
	$(LOCK) --python 3.10 --extra dev --extra kubeflow --extra airflow \
		--constraints constraints.txt --output-file requirements.lock
	$(LOCK) --python 3.12 --extra dev --extra keras2 --extra dask --upgrade \
		--constraints constraints-latest.txt --output-file requirements-latest.lock

clean: ## Remove environments, tools and caches
	rm -rf .tools .venv .venv-latest .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find component pipelines tests -name __pycache__ -prune -exec rm -rf {} +

$(UV_READY):
	@echo "make: bringing uv $(UV_VERSION) into .tools/"
	@rm -rf .tools
	@$(PYTHON) -m venv .tools || { rm -rf .tools; echo >&2 \
		"make: $(PYTHON) cannot make a virtual environment. Install its venv module" \
		"(Debian: python3-venv) or name another one: make PYTHON=…"; exit 1; }
	@.tools/bin/python -m pip install --quiet "uv==$(UV_VERSION)"
	@touch $@

# $(call environment,FOLDER,PYTHON,LOCK): each stamp is written last, so that what was killed
# half-way does not count, and a changed lock is installed afresh. The lock also says what the
# packages that come as source are built with.
define environment
$(1)/locked: $(3) | $(UV_READY)
	@echo "make: installing $(3) into $(1)/; the first time takes minutes"
	@$(UV) venv --quiet --clear --python $(2) $(1) || { echo >&2 \
		"make: no Python $(2). Install it (pyenv install $(2)) or let uv fetch it:" \
		"make UV_PYTHON_DOWNLOADS=automatic $$(MAKECMDGOALS)"; exit 1; }
	@$(UV) pip sync --quiet --python $(1) --require-hashes --compile-bytecode \
		--build-constraints $(3) $(3)
	@touch $$@

$(1)/complete: $(1)/locked pyproject.toml
	@$(UV) pip install --quiet --python $(1) --no-deps --editable .
	@touch $$@
endef
$(eval $(call environment,.venv,3.10,requirements.lock))
$(eval $(call environment,.venv-latest,3.12,requirements-latest.lock))
