# SPDX-License-Identifier: Apache-2.0
"""Builds that are killed: the old bundle stays, and the litter goes."""

# ruff: noqa: PT012 (a writer that fails is entered, used and left)

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt.bundle import BundleWriter, replace
from edge_trt_runtime import open_bundle
from tests.support.bundles import relu_draft

WRITE_FOR_EVER = """
import sys
from edge_trt.bundle import BundleWriter

with BundleWriter(sys.argv[1]) as writer:
    with writer.path("weights.safetensors").open("wb") as file:
        print("writing", flush=True)
        while True:
            file.write(bytes(4096))
            file.flush()
            if file.tell() > 1 << 22:
                file.seek(0)
"""

REPLACE_FOR_EVER = """
import sys
from edge_trt.bundle import BundleWriter
from tests.support.bundles import relu_draft

print("writing", flush=True)
while True:
    relu_draft().write(sys.argv[1])
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return relu_draft().write(tmp_path / "m.edge")


def start(code: str, path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n", process.communicate()[1]
    return process


def works(path: Path) -> bool:
    with edge_trt_runtime.load(path) as session:
        return session.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4


def exchanges(folder: Path) -> bool:
    """Return whether the file system of ``folder`` can exchange two names."""
    one, other = folder / "one", folder / "other"
    one.mkdir()
    other.mkdir()
    try:
        return replace._exchange(str(one), str(other))
    finally:
        one.rmdir()
        other.rmdir()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_end_leaves_no_litter(old: Path, number: signal.Signals) -> None:
    process = start(WRITE_FOR_EVER, old)
    assert len(os.listdir(old.parent)) == 2
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == (143 if number is signal.SIGTERM else -signal.SIGINT)
    assert os.listdir(old.parent) == ["m.edge"]
    assert works(old)


def test_a_violent_end_leaves_the_old_bundle_and_the_next_build_cleans_up(old: Path) -> None:
    process = start(WRITE_FOR_EVER, old)
    process.kill()
    process.communicate(timeout=20)
    assert works(old)
    assert len(os.listdir(old.parent)) == 2
    relu_draft().write(old)
    assert os.listdir(old.parent) == ["m.edge"]
    assert works(old)


def test_a_running_build_is_not_taken_for_litter(old: Path) -> None:
    process = start(WRITE_FOR_EVER, old)
    try:
        relu_draft().write(old)
        assert sorted(os.listdir(old.parent)) == ["m.edge", f"m.edge.tmp-{process.pid}"]
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert os.listdir(old.parent) == ["m.edge"]


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.011, 0.02])
def test_killed_while_replacing_again_and_again(old: Path, delay: float) -> None:
    process = start(REPLACE_FOR_EVER, old)
    threading.Event().wait(delay)
    process.kill()
    process.communicate(timeout=20)
    assert old.exists() or not exchanges(old.parent)
    relu_draft().write(old)
    assert os.listdir(old.parent) == ["m.edge"]
    assert works(old)


def test_a_reader_always_finds_a_bundle(old: Path) -> None:
    if not exchanges(old.parent):
        pytest.skip("this file system can't exchange two names")
    process = start(REPLACE_FOR_EVER, old)
    try:
        for _ in range(300):
            assert (old / "manifest.json").is_file()
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_killed_between_two_renamings_the_old_bundle_comes_back(old: Path) -> None:
    """What is left where names can't be exchanged: no bundle, and the old one aside."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    os.rename(old, f"{old}.tmp-{process.pid}.old")
    (old.parent / f"m.edge.tmp-{process.pid}").mkdir()
    with pytest.raises(KeyboardInterrupt), BundleWriter(old):
        assert works(old)
        raise KeyboardInterrupt
    assert os.listdir(old.parent) == ["m.edge"]
    assert works(old)


def test_litter_of_an_own_process_number_is_litter(old: Path) -> None:
    """In a container the number is the same at every start."""
    (old.parent / f"m.edge.tmp-{os.getpid()}").mkdir()
    relu_draft().write(old)
    assert os.listdir(old.parent) == ["m.edge"]


def test_the_folder_of_a_living_process_is_not_litter(old: Path) -> None:
    """It may have made it this moment and not locked it yet."""
    (old.parent / f"m.edge.tmp-{os.getppid()}").mkdir()
    relu_draft().write(old)
    assert sorted(os.listdir(old.parent)) == ["m.edge", f"m.edge.tmp-{os.getppid()}"]


def test_names_that_only_look_like_litter_stay(old: Path) -> None:
    for name in ("m.edge.tmp-x", "xm.edge.tmp-999999999", "m.edge.tmp-1.old.bak"):
        (old.parent / name).mkdir()
    relu_draft().write(old)
    assert len(os.listdir(old.parent)) == 4


def test_signal_handlers_are_put_back(old: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    relu_draft().write(old)
    assert signal.getsignal(signal.SIGTERM) is before

    def mine(*_: object) -> None: ...

    signal.signal(signal.SIGTERM, mine)
    try:
        with pytest.raises(KeyError), BundleWriter(old):
            assert signal.getsignal(signal.SIGTERM) is mine
            raise KeyError
    finally:
        signal.signal(signal.SIGTERM, before)


def test_writing_in_a_thread(old: Path) -> None:
    thread = threading.Thread(target=relu_draft().write, args=(old.parent / "t.edge",))
    thread.start()
    thread.join()
    assert works(open_bundle(old.parent / "t.edge").root)  # type: ignore[arg-type]
