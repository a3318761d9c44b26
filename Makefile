# SPDX-License-Identifier: Apache-2.0
# `make demo` from a fresh clone: an environment, a trained model, a compiled bundle, an accuracy table.
#
#   make demo       train, compile and run the examples
#   make test       the test suite without its slow part        (ARGS="tests/cli -k help" narrows it)
#   make test-all   all of it, then every model of the zoo, which writes docs/zoo.md
#   make test-aarch64   what a board does, in an emulated arm64 Python    (as root; needs qemu, debootstrap)
#   make fuzz       2,000 random programs against eager PyTorch, and 1,000 with open sizes  (EXAMPLES=100)
#   make lint       ruff, types, import layers
#   make wheels     what a board without a network installs    (BOARD_PYTHON=3.12 for JetPack 7)
#   make bench      benchmarks against the peers
#   make clean      remove the environment, caches and demo products
#
# Variables: PYTHON (interpreter, 3.10 to 3.13), TORCH and TORCH_INDEX (which torch, and from where).

PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=

# The +cpu build and no other: a plain "torch" would bring gigabytes of CUDA libraries along. Where pip's own
# index lacks it, name PyTorch's index of CPU builds, which its installation page shows:
#   make demo TORCH_INDEX=URL        or, on other systems than Linux: make demo TORCH=torch==2.13.0
TORCH       ?= torch==2.13.0+cpu
TORCH_INDEX ?=

BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed

export PIP_ROOT_USER_ACTION := ignore

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-aarch64 fuzz lint bench wheels clean env

help:
	@sed -n '2,13{s/^# \{0,1\}//;p;}' $(firstword $(MAKEFILE_LIST))

env: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "error: $(PYTHON) is not Python 3.10 to 3.13; name one that is: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) cannot create virtual environments; on Debian and Ubuntu:" \
	       "apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The models' libraries come without their dependencies: torchvision's metadata asks for a torch of its own,
# and transformers' for a command line. What their models need follows.
$(STAMP): $(BIN)/python pyproject.toml runtime/pyproject.toml jetson/pyproject.toml hatch_build.py constraints.txt
	@echo "Installing into $(VENV) (once; minutes, 2 GB on disk) ..."
	@$(PIP) install --quiet --constraint constraints.txt '$(TORCH)' $(addprefix --index-url ,$(TORCH_INDEX)) || { \
	  echo "error: pip finds no $(TORCH); name the index of PyTorch's CPU builds (its installation page" \
	       "shows the address): make $(MAKECMDGOALS) TORCH_INDEX=URL" >&2; exit 1; }
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[torch,cpu,rtx,dev]'
	@$(PIP) install --quiet --constraint constraints.txt --no-deps torchvision timm transformers tokenizers
	@$(PIP) install --quiet --constraint constraints.txt pyyaml huggingface_hub safetensors regex
	@touch $@

demo: $(STAMP)
	$(BIN)/python examples/digits/main.py $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)
	$(BIN)/python -m tests.zoo.run

# A job of its own in CI: it fetches 400 MB once, and says why it is skipped where it can't run.
test-aarch64: $(STAMP)
	PYTHON=$(BIN)/python tests/aarch64/run.sh $(ARGS)

fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz.run --examples $(or $(EXAMPLES),2000) $(ARGS)
	$(BIN)/python -m tests.fuzz.run --open-sizes --examples $$(( $(or $(EXAMPLES),2000) / 2 )) $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright

# PyCUDA is built on the board, against its CUDA: its source comes along, and what it needs for that. pip asks the
# Python that runs it whether tomli is needed, and not that of the board.
BOARD_PYTHON ?= 3.10
ON_BOARD := --only-binary=:all: --python-version $(BOARD_PYTHON) --implementation cp \
  $(addprefix --platform ,manylinux_2_34_aarch64 manylinux_2_28_aarch64 manylinux_2_27_aarch64 \
    manylinux_2_17_aarch64 manylinux2014_aarch64)

wheels: $(STAMP)
	rm -rf build/wheels
	$(PIP) wheel --quiet --no-deps --wheel-dir build/wheels . ./runtime ./jetson
	$(PIP) download --quiet --dest build/wheels --find-links build/wheels $(ON_BOARD) \
	  'edge-trt[cpu]' 'edge-trt-runtime[cpu]' edge-trt-jetson tomli psutil \
	  setuptools wheel pytools mako platformdirs siphash24
	$(PIP) download --quiet --dest build/wheels --no-deps --no-binary pycuda pycuda
	@ls build/wheels && echo "copy build/wheels to the board, and see docs/board.md"

bench: $(STAMP)
	$(BIN)/python tests/benchmarks/compile.py
	$(BIN)/python tests/benchmarks/native_build.py
	$(BIN)/python tests/benchmarks/networks.py
	$(BIN)/python tests/benchmarks/session.py

clean:
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	rm -rf examples/*/*.edge examples/*/*.pt
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
