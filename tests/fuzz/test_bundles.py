# SPDX-License-Identifier: Apache-2.0
"""Damaged bundles: a refusal and never a crash; and with keys, nothing that is not ours.

300 of each kind, the same every time; `make test-all` draws 5,000 more.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge_trt_runtime
from edge_trt_runtime import BundleError, EdgeTrtError, open_bundle, run_self_test
from edge_trt_runtime.describe import describe
from edge_trt_runtime.executors.external_data import external_files, external_tensors
from edge_trt_runtime.signing import sign_manifest
from tests.fuzz import damage
from tests.fuzz.damage import FILE_DAMAGE, MANIFEST, SIGNATURE, STATE, TEST
from tests.support.signers import OURS

KEYS = [OURS.raw]
INPUTS = {"x": np.ones((2, 4), np.float32), "h": np.ones((1, 4), np.float32)}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that is signed."""
    path = damage.make_bundle(tmp_path_factory.mktemp("fuzz") / "model.edge")
    sign(path)
    edge_trt_runtime.load(path, trusted_keys=KEYS).close()
    assert all(result.passed for result in run_self_test(path))
    return path


def sign(path: Path) -> None:
    data = sign_manifest((path / MANIFEST).read_bytes(), OURS.private)
    (path / SIGNATURE).write_bytes(data)


@contextmanager
def copied(original: Path) -> Generator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(original, Path(folder, "model.edge")))


Case = Callable[[Path, st.DataObject], None]


def damaged_and_signed(original: Path, data: st.DataObject) -> None:
    """Whatever was changed after signing is refused, before anything is opened."""
    with copied(original) as bundle, pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_trt_runtime.opening.load_engines", _opened)
        if data.draw(st.booleans(), label="manifest"):
            tree = data.draw(damage.changed_trees(json.loads((bundle / MANIFEST).read_bytes())))
            (bundle / MANIFEST).write_bytes(damage.as_text(tree))
            patch.setattr("edge_trt_runtime.bundle.decode_manifest", _opened)
        else:
            path = data.draw(st.sampled_from(damage.files(bundle)), label="file")
            data.draw(st.sampled_from(FILE_DAMAGE), label="damage")(path, data)
        with pytest.raises(BundleError):
            edge_trt_runtime.load(
                bundle, device="cpu", verify=data.draw(st.booleans()), trusted_keys=KEYS
            )


def _opened(*args: object, **kwargs: object) -> None:
    raise AssertionError("something of the bundle was opened")


def hostile_manifest(original: Path, data: st.DataObject) -> None:
    """A manifest that somebody wrote with care is refused, or runs as what it says."""
    with copied(original) as bundle:
        tree = json.loads((bundle / MANIFEST).read_bytes())
        del tree["digest"]
        twice = data.draw(st.integers(0, 9)) == 0
        tree = data.draw(damage.changed_trees(tree))
        (bundle / MANIFEST).write_bytes(damage.as_text(tree, twice=twice))
        use(bundle)


def hostile_files(original: Path, data: st.DataObject) -> None:
    """Recorded arrays that are damaged, with sums that fit; ONNX Runtime's files are its own."""
    with copied(original) as bundle:
        path = bundle / data.draw(st.sampled_from([TEST, STATE]))
        data.draw(st.sampled_from([damage.flip, damage.truncate, damage.extend]))(path, data)
        damage.sealed(bundle, json.loads((bundle / MANIFEST).read_bytes()) | {"digest": ""})
        use(bundle)


def use(bundle: Path) -> None:
    """Do all that can be done with a bundle; only our own errors may come of it."""
    with suppress(EdgeTrtError):
        describe(open_bundle(bundle))
    with suppress(EdgeTrtError), edge_trt_runtime.load(bundle, device="cpu") as session:
        with suppress(EdgeTrtError):
            session.run(INPUTS)
        with suppress(EdgeTrtError):
            session.next_states({**session.initial_states(), **session.run(INPUTS)})
        with suppress(EdgeTrtError), np.errstate(all="ignore"):
            run_self_test(session)


def hostile_models(original: Path, data: st.DataObject) -> None:
    """What we read of an ONNX model ourselves."""
    content = bytearray((original / "engines/cpu/one.onnx").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for read in (external_files, external_tensors):
        with suppress(ValueError):
            read(bytes(content[: data.draw(st.integers(0, len(content)))]))


CASES: list[Case] = [damaged_and_signed, hostile_manifest, hostile_files, hostile_models]


def run(case: Case, original: Path, **options: Any) -> None:
    @settings(print_blob=True, **options)
    @given(st.data())
    def each(data: st.DataObject) -> None:
        case(original, data)

    each()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_damage_is_refused(original: Path, case: Case) -> None:
    run(case, original, max_examples=300, derandomize=True, database=None)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_much_damage_is_refused(original: Path, case: Case) -> None:
    run(case, original, max_examples=5000)
