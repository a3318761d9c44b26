# SPDX-License-Identifier: Apache-2.0
"""Weights that are on disk already are taken from there."""

import re
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import edge_trt
from edge_trt.bundle.reader import read_bundle
from edge_trt.bundle.writer import BundleWriter
from edge_trt.engines import onnx
from edge_trt.engines.kept_plans import KeptPlans
from edge_trt.network.weights import WeightStore, read_weights, releasing
from edge_trt_runtime import load, run_self_test
from edge_trt_runtime.errors import BundleError, EdgeTrtError

WEIGHTS = "weights.safetensors"


@pytest.fixture
def saved(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU()).eval()
    return edge_trt.compile(model, (torch.randn(2, 64),), target="cpu").save(tmp_path / "a.edge")


def inode(bundle):
    return (bundle / WEIGHTS).stat().st_ino


def test_a_bundle_saved_over_itself_keeps_its_file_of_weights(saved):
    before = inode(saved)
    edge_trt.load(saved).save(saved)
    assert inode(saved) == before
    assert all(r.passed for r in run_self_test(saved))


def test_a_copy_has_a_file_of_its_own(saved, tmp_path):
    copy = edge_trt.load(saved).save(tmp_path / "b.edge")
    assert inode(copy) != inode(saved)
    assert (copy / WEIGHTS).read_bytes() == (saved / WEIGHTS).read_bytes()


def test_a_bundle_that_leaves_gives_its_file_away(saved, tmp_path):
    before = inode(saved)
    taken = read_bundle(saved, leaving=True).save(tmp_path / "b.edge")
    assert inode(taken) == before
    with load(taken) as session:  # checks every digest
        assert session.signature.outputs[0].shape == [2, 64]


@pytest.mark.parametrize("producer", ["this version", "another one"])
def test_onnx_of_the_same_network_is_kept(saved, tmp_path, monkeypatch, producer):
    if producer == "another one":
        monkeypatch.setattr("edge_trt.bundle.save.PRODUCER", "edge_trt 99")
    emitted = []
    emit = onnx.emit
    monkeypatch.setattr(onnx, "emit", lambda *given: emitted.append(given) or emit(*given))
    copy = edge_trt.load(saved).save(tmp_path / "b.edge")
    assert len(emitted) == (producer == "another one")
    assert all(r.passed for r in run_self_test(copy))


def test_damage_that_is_found_beside_other_work_keeps_a_bundle_from_being_saved(
    saved, tmp_path, monkeypatch
):
    monkeypatch.setattr("edge_trt.bundle.reader.LARGE", 1024)
    weights = saved / WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with ThreadPoolExecutor(1) as beside:
        bundle = read_bundle(saved, beside=beside)
        kept = KeptPlans(tmp_path, {"main": "digest"}, bundle.check)
        with kept.begin("main", "here") as plan:
            plan.write(b"plan")
        with pytest.raises(BundleError, match="was changed after the build"):
            kept.keep(plan, "main", "here", {})
        with pytest.raises(BundleError, match="was changed after the build"):
            bundle.save(tmp_path / "b.edge")
    assert kept.find("main", "here") is None
    assert not (tmp_path / "b.edge").exists()


def test_small_files_are_compared_before_they_are_read(saved):
    network = saved / "networks" / "block0.json"
    network.write_bytes(network.read_bytes().replace(b"RELU", b"TANH"))
    with ThreadPoolExecutor(1) as beside, pytest.raises(BundleError, match="was changed after"):
        read_bundle(saved, beside=beside)


def test_weights_that_were_read_are_let_go_of_while_others_are(tmp_path):
    store = WeightStore()
    store.add(np.ones(1 << 20, np.float32), "weight")
    store.write(tmp_path / WEIGHTS)
    (array,) = read_weights(tmp_path / WEIGHTS).values()

    def resident():
        text = Path("/proc/self/smaps").read_text()
        (entry,) = re.findall(rf"{tmp_path / WEIGHTS}\n(?:.*\n)*?Rss: +(\d+) kB", text)
        return int(entry)

    assert array.sum() == array.size
    assert resident() >= 4096
    with releasing([array], pause=0.001):
        end = time.monotonic() + 10
        while resident() and time.monotonic() < end:
            time.sleep(0.001)
        assert resident() == 0
        assert array.sum() == array.size


def test_other_weights_are_written(saved, tmp_path):
    bundle = edge_trt.load(saved)
    network = bundle.networks[0]
    weight = max(network.constants(), key=lambda t: t.data.size)
    weight.data = np.zeros((64, 32), np.float32)
    store = WeightStore()
    store.add(weight.data, weight.name)
    assert not store.is_written(saved / WEIGHTS)


def test_is_written_knows_its_own_file(tmp_path):
    store = WeightStore()
    store.add(np.arange(6, dtype=np.float32), "a")
    store.write(tmp_path / "w")
    assert store.is_written(tmp_path / "w")
    store.add(np.arange(3, dtype=np.float32), "b")
    assert not store.is_written(tmp_path / "w")


def test_a_sibling_is_gone_in_the_end_and_its_place_is_checked_first(tmp_path):
    with BundleWriter(tmp_path / "c.edge").sibling("portable") as folder:
        assert list(tmp_path.iterdir()) == [type(tmp_path)(folder)]
    assert not list(tmp_path.iterdir())
    with pytest.raises(EdgeTrtError, match="does not exist"):
        BundleWriter(tmp_path / "nowhere" / "c.edge").check_place()


def test_large_files_are_hashed_as_they_are(tmp_path):
    data = np.random.default_rng(0).bytes(5 << 20)
    from hashlib import sha256

    from edge_trt_runtime.manifest import Manifest, Signature

    manifest = Manifest(
        producer="edge_trt 0", precision="fp32", targets=["cpu"], results={}, segments=[],
        signature=Signature(inputs=[], outputs=[]),
    )  # fmt: skip
    with BundleWriter(tmp_path / "d.edge", durable=False) as writer:
        writer.add_bytes("large.bin", data)
        observe = writer.observe("pieces.bin")
        with writer.path("pieces.bin").open("wb") as file:
            for piece in (data[:100], data[100 : 3 << 20], data[3 << 20 :]):
                observe(piece)
                file.write(piece)
        written = writer.commit(manifest)
    expected = sha256(data).hexdigest()
    assert {entry.sha256 for entry in written.files.values()} == {expected}


def test_a_copy_that_can_not_be_written_names_its_own_place(saved, tmp_path):
    """A full quota, or a limit of file sizes as here, is no fault of the bundle that is copied."""
    bundle = edge_trt.load(saved)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12000, hard))
    try:
        with pytest.raises(EdgeTrtError, match="can't be written") as raised:
            bundle.save(tmp_path / "b.edge")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "b.edge" in str(raised.value)
    assert "a.edge" not in str(raised.value)
