# SPDX-License-Identifier: Apache-2.0
"""Networks as text, and their weights in a safetensors file."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from edge_trt.engines.onnx import CpuRunner
from edge_trt.network.graph import Network, NetworkError, Node, Origin
from edge_trt.network.layers import Cast, ElementWise, Identity
from edge_trt.network.serialize import dump, load
from edge_trt.network.types import DType, TensorType
from edge_trt.network.weights import ALIGNMENT, WeightStore, place_of, read_weights, release
from tests.support.layer_rows import ROWS, Row


def _through_file(network: Network, folder: Path) -> Network:
    store = WeightStore()
    text = dump(network, store)
    path = folder / "weights.safetensors"
    store.write(path)
    return load(text, read_weights(path))


@pytest.mark.parametrize("row", ROWS[::3], ids=lambda row: row.name)
def test_every_layer_survives(row: Row, tmp_path: Path) -> None:
    network = row.network(symbolic=row.symbolic)
    again = _through_file(network, tmp_path)
    assert str(again) == str(network)
    assert list(map(_attributes, again.walk())) == list(map(_attributes, network.walk()))
    for ours, theirs in zip(network.constants(), again.constants(), strict=True):
        assert ours.data is not None
        np.testing.assert_array_equal(theirs.data, ours.data)
    store = WeightStore()
    assert dump(again, store) == dump(network, WeightStore())


def _attributes(node: Node) -> tuple[object, ...]:
    """What a layer is apart from its bodies, whose layers are compared too."""
    own = {k: v for k, v in node.layer.attributes().items() if k not in node.layer.bodies}
    return node.layer.kind, own, [body.name for body in node.layer.bodies.values()]


def _with_origin() -> Network:
    net = Network("block0")
    net.origin = Origin("head.fc", "model.py:4", "aten.add.Tensor", "add")
    x = net.input("x", TensorType(DType.FLOAT32, ("batch", 30)))
    weight = net.constant(np.arange(30, dtype=np.float32)[None], "head.bias")
    net.mark_output(net.add(ElementWise("SUM"), x, weight), "y")
    return net


def test_origins_names_and_results_survive(tmp_path: Path) -> None:
    network = _with_origin()
    again = _through_file(network, tmp_path)
    assert again.nodes[0].origin == network.nodes[0].origin
    assert again.nodes[0].name == "add"
    x = np.ones((2, 30), np.float32)
    np.testing.assert_array_equal(
        CpuRunner(again, threads=1).run({"x": x})["y"], x + np.arange(30, dtype=np.float32)
    )
    again.origin = Origin(node="add")
    assert again.add(Identity(), again.inputs[0]).name not in ("add", "x", "y", "head.bias")


def test_text_is_one_line_a_layer() -> None:
    lines = [line for line in dump(_with_origin(), WeightStore()).splitlines() if '"kind"' in line]
    assert len(lines) == 1
    assert '"ElementWise"' in lines[0]


def _edited(change: Any) -> str:
    data = json.loads(dump(_with_origin(), WeightStore()))
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=99), "format 99"),
        (lambda d: d.pop("nodes"), "not a serialized network"),
        (lambda d: d["nodes"][0].update(kind="Teleport"), "layer kind Teleport is unknown"),
        (lambda d: d["nodes"][0]["attributes"].update(color=1), "not a serialized network"),
        (lambda d: d["nodes"][0].update(inputs=["x", "nowhere"]), "not a serialized network"),
        (lambda d: d["nodes"][0].update(inputs=["x"]), "not a serialized network"),
        (lambda d: d["tensors"].update(y="float32[batch, 31]"), "differ"),
        (lambda d: d["tensors"].update(y="float99[1]"), "not a tensor type"),
        (lambda d: d["constants"]["head.bias"].update(weights="nope"), "no tensor nope"),
        (lambda d: d.update(outputs=["head.bias"]), "head.bias"),
    ],
)
def test_edited_text_is_refused(change: Any, message: str) -> None:
    weights = {"head.bias": np.arange(30, dtype=np.float32)[None]}
    load(_edited(lambda d: None), weights)
    with pytest.raises(NetworkError, match=message):
        load(_edited(change), weights)


def test_weights_of_another_type_are_refused() -> None:
    text = _edited(lambda d: None)
    for array in (np.zeros((1, 29), np.float32), np.zeros((1, 30), np.float16)):
        with pytest.raises(NetworkError, match=r"weights head\.bias are"):
            load(text, {"head.bias": array})
    with pytest.raises(NetworkError, match="not a serialized network"):
        load("{", {})


ARRAYS = st.tuples(
    st.sampled_from([d.numpy for d in DType]), st.lists(st.integers(0, 5), max_size=3)
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), ARRAYS, max_size=6))
def test_file_is_what_the_safetensors_library_reads(
    tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, Any]
) -> None:
    rng = np.random.default_rng(0)
    arrays = {k: rng.integers(0, 2, s).astype(d) for k, (d, s) in drawn.items()}
    arrays.pop("__metadata__", None)
    store = WeightStore()
    keys = {name: store.add(array, name) for name, array in arrays.items()}
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    digest = hashlib.sha256()
    store.write(path, digest.update)
    content = path.read_bytes()
    assert digest.hexdigest() == hashlib.sha256(content).hexdigest()
    ours = read_weights(path)
    with safetensors.safe_open(path, "np") as file:
        assert set(file.keys()) == set(ours) == set(keys.values())
        for name, array in arrays.items():
            key = keys[name]
            assert ours[key].dtype == array.dtype
            np.testing.assert_array_equal(ours[key], array)
            if array.dtype != ml_dtypes.bfloat16:  # numpy's side of the library has none
                np.testing.assert_array_equal(file.get_tensor(key), array)
            extent = store.extent(key)
            assert content[extent.offset : extent.offset + extent.length] == array.tobytes()


def test_shared_arrays_are_stored_once(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32)
    store = WeightStore()
    assert store.add(array, "a") == store.add(array, "b") == "a"
    assert store.add(array.reshape(2, 3), "a") == "a.1"
    assert store.add(array[::2], "c") == "c"
    assert len(store) == 3
    path = tmp_path / "weights.safetensors"
    store.write(path)
    np.testing.assert_array_equal(safetensors.numpy.load_file(path)["c"], [0, 2, 4])


def test_weights_are_aligned_and_mapped(tmp_path: Path) -> None:
    store = WeightStore()
    for i, dtype in enumerate((np.int8, np.float32, np.float16, np.int64, np.bool_)):
        store.add(np.ones(3 + i, dtype), f"w{i}")
    path = tmp_path / "weights.safetensors"
    store.write(path)
    assert (8 + int.from_bytes(path.read_bytes()[:8], "little")) % ALIGNMENT == 0
    for array in read_weights(path).values():
        assert array.ctypes.data % array.itemsize == 0
        assert not array.flags.writeable
        assert not array.flags.owndata


@pytest.mark.parametrize("keep", [4, 40, -1])
def test_truncated_weights_are_refused(keep: int, tmp_path: Path) -> None:
    store = WeightStore()
    store.add(np.ones(100, np.float32), "w")
    path = tmp_path / "weights.safetensors"
    store.write(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="truncated"):
        read_weights(path)


def test_casts_keep_their_type(tmp_path: Path) -> None:
    net = Network("net")
    x = net.input("x", TensorType(DType.FLOAT32, ()))
    net.mark_output(net.add(Cast(DType.BFLOAT16), x), "y")
    assert _through_file(net, tmp_path).nodes[0].layer == Cast(DType.BFLOAT16)


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages as Linux does")
def test_released_weights_are_read_again(tmp_path: Path) -> None:
    def mapped_kilobytes() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))

    store, array = WeightStore(), np.arange(1 << 22, dtype=np.float32)
    store.add(array, "w")
    store.write(tmp_path / "weights")
    weights = read_weights(tmp_path / "weights")
    assert weights["w"][1:].sum(dtype=np.float64) == array.sum(dtype=np.float64)
    before = mapped_kilobytes()
    release([array, *weights.values(), weights["w"].reshape(2, -1)[1]])
    assert before - mapped_kilobytes() > 15_000
    assert np.array_equal(weights["w"], array)


def test_weights_tell_where_they_are_mapped_from_until_the_file_is_another(tmp_path: Path) -> None:
    store, path = WeightStore(), tmp_path / "weights"
    arrays = {name: np.full((3, 4), i, np.float32) for i, name in enumerate("abc")}
    for name, array in arrays.items():
        store.add(array, name)
    store.write(path)
    weights = read_weights(path)
    for name, array in weights.items():
        assert place_of(array) == (path.resolve(), store.extent(name))
    place = place_of(weights["b"][1])
    assert place is not None
    offset, length = place[1].offset, place[1].length
    assert path.read_bytes()[offset : offset + length] == arrays["b"][1].tobytes()
    assert place_of(weights["b"][:, 1]) is None, "it has gaps"
    assert place_of(arrays["b"]) is None, "it is in memory alone"
    store.write(tmp_path / "other")
    (tmp_path / "other").replace(path)
    assert place_of(weights["b"]) is None
    path.unlink()
    assert place_of(weights["b"]) is None
