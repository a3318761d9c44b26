#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The GPU suite and its figures, on a machine with an NVIDIA GPU, PyCUDA, cuda-bindings and PyTorch.
#
#   tests/gpu/run.sh            PYTHON names the interpreter
set -e
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
PYTHONPATH="$PWD:$PWD/runtime:$PWD/calibration:$PWD/jetson${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
"$PYTHON" -m pytest -q -p no:cacheprovider tests/gpu "$@"
"$PYTHON" tests/benchmarks/gpu.py
"$PYTHON" tests/benchmarks/gpu_steady.py
