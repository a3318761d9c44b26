#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a board does without PyTorch, in an arm64 Python: under emulation, or on an arm64 machine itself.
#
#   tests/aarch64/run.sh            arguments go to pytest; PYTHON names an interpreter with edge_trt and torch
#
# ROOT is where the arm64 files are made, once (400 MB); MIRROR is a Debian mirror, by default that of this machine.
# Without emulator or root's rights it says so and ends with 0: a job of CI is then skipped.
set -e
cd "$(dirname "$0")/../.."
[ -n "$PYTHON" ] || { [ -x .venv/bin/python ] && PYTHON=.venv/bin/python || PYTHON=python3; }
ROOT=${ROOT:-$PWD/build/aarch64}
SUITE=bookworm  # Python 3.11
INSTALL="apt-get install qemu-user-static debootstrap debian-archive-keyring"
SOURCES=$PWD:$PWD/runtime:$PWD/calibration:$PWD/jetson

skip() { echo "skipped: $1" >&2; exit 0; }

make_root() {
  command -v debootstrap >/dev/null || skip "debootstrap is not installed: $INSTALL"
  [ "$(id -u)" = 0 ] || skip "debootstrap makes the arm64 files as root: sudo $0, or fakeroot $0"
  mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $SUITE" | head -n 1)}
  rm -rf "$ROOT/system.part" && mkdir -p "$ROOT"
  # Nothing of the other architecture is run: packages are unpacked, and not configured.
  debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,libstdc++6 $SUITE "$ROOT/system.part" \
    ${mirror:+"$mirror"} >"$ROOT/debootstrap.log" 2>&1 || { tail -n 5 "$ROOT/debootstrap.log" >&2; exit 1; }
  for package in "$ROOT"/system.part/var/cache/apt/archives/*.deb; do
    dpkg-deb -x "$package" "$ROOT/system.part"
    rm "$package"
  done
  mv "$ROOT/system.part" "$ROOT/system"
}

# ONNX Runtime 1.22: later ones read the processor's topology from /sys when they are imported, and crash on that
# of the machine that emulates.
make_packages() {
  rm -rf "$ROOT/packages.part"
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --target "$ROOT/packages.part" \
    --only-binary=:all: --python-version "$VERSION" --implementation cp \
    $(printf -- '--platform %s_aarch64 ' manylinux_2_35 manylinux_2_34 manylinux_2_28 manylinux_2_27 manylinux_2_17 \
      manylinux2014) \
    numpy msgspec ml_dtypes rich markdown-it-py mdurl pygments psutil onnx protobuf typing_extensions flatbuffers \
    packaging onnxruntime==1.22.1 tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs \
    pytest pluggy iniconfig hypothesis sortedcontainers
  # Python alone, and no wheel: what imports the two above under the name of TensorRT-RTX.
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --target "$ROOT/packages.part" \
    tensorrt-rtx-cu13
  mv "$ROOT/packages.part" "$ROOT/packages"
}

if [ "$(uname -m)" = aarch64 ]; then
  VERSION=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  MACHINE="$PYTHON -S"  # without the packages that are installed there, PyTorch above all
else
  command -v qemu-aarch64-static >/dev/null || skip "qemu-aarch64-static is not installed: $INSTALL"
  [ -d "$ROOT/system" ] || make_root
  VERSION=3.11
  MACHINE="qemu-aarch64-static -L $ROOT/system $ROOT/system/usr/bin/python$VERSION"
fi
[ -d "$ROOT/packages" ] || make_packages

# PyTorch's half, here: what the other machine gets is a bundle without plans, of which a part falls back.
BUNDLE=$ROOT/model.edge
mkdir -p "$ROOT"
PYTHONPATH=$SOURCES "$PYTHON" -m edge_trt build tests/aarch64/model.py:camera --target cpu --fallback-ops aten.silu \
  --quiet -o "$BUNDLE"
export EDGE_TRT_AARCH64_BUNDLE="$BUNDLE"
PYTHONPATH=$SOURCES:$ROOT/packages PYTHONPYCACHEPREFIX=$ROOT/pycache \
  $MACHINE -m pytest -q -p no:cacheprovider tests/aarch64 tests/jetson/test_detect.py "$@"
