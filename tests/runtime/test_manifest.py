# SPDX-License-Identifier: Apache-2.0
"""Reading and writing manifests, and refusing those that make no sense."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_trt_runtime import BundleError, Engine, ImageSpec, Range, SelfTest, __version__
from edge_trt_runtime.manifest import (
    FileEntry,
    Manifest,
    decode_manifest,
    encode_manifest,
    with_counter,
)
from tests.support.bundles import relu_draft

DIGEST = "0" * 64


def manifest() -> Manifest:
    draft = relu_draft(["n", 4], {"n": Range(1, 2, 8)})
    made = draft.manifest()
    made.files["engines/cpu/main.onnx"] = FileEntry(DIGEST, 10)
    return made


def as_dict() -> dict[str, Any]:
    return json.loads(encode_manifest(manifest()))


def decode(data: Any) -> Manifest:
    return decode_manifest(json.dumps(data).encode(), bundle="/b/m.edge")


def test_round_trip() -> None:
    draft = relu_draft()
    draft.self_test = SelfTest("selftest.safetensors", 2, 1e-4, 1e-5)
    draft.inputs[0].shape[:] = [1, 4]
    draft.outputs = [
        type(draft.outputs[0])("output", "float32", ["n", "?"], ImageSpec([0.1], [0.2]))
    ]
    made = draft.manifest()
    made.files["engines/cpu/main.onnx"] = FileEntry(DIGEST, 10)
    made.files["selftest.safetensors"] = FileEntry("f" * 64, 0)
    made.options.update(target=["cpu"], dla=None, nested={"a": 1.5})
    data = encode_manifest(made)
    assert decode_manifest(data) == made
    assert encode_manifest(decode_manifest(data)) == data


def test_equal_manifests_give_equal_bytes() -> None:
    one, other = manifest(), manifest()
    one.files.update({"a": FileEntry(DIGEST, 1), "b": FileEntry(DIGEST, 2)})
    other.files.update({"b": FileEntry(DIGEST, 2), "a": FileEntry(DIGEST, 1)})
    assert encode_manifest(one) == encode_manifest(other)


def test_unknown_keys_are_ignored() -> None:
    data = as_dict()
    data["signed_by"] = "someone"
    data["segments"][0]["cost"] = 3
    del data["digest"]  # a later writer's digest would count its keys
    assert decode(data) == manifest()


@pytest.mark.parametrize(("old", "new"), [('"max": 8', '"max": 9'), ('"fp32"', '"fp16"')])
def test_a_changed_manifest_does_not_have_its_checksum(old: str, new: str) -> None:
    data = encode_manifest(manifest())
    assert old.encode() in data
    with pytest.raises(BundleError, match="changed after it was written"):
        decode_manifest(data.replace(old.encode(), new.encode(), 1), bundle="/b/m.edge")


@pytest.mark.parametrize(
    ("producer", "needed"),
    [("edge-trt 3.2.1", ">= 3.2.1"), ("", f"newer than {__version__}"), (None, None)],
)
def test_a_newer_schema_says_which_runtime_it_needs(
    producer: str | None, needed: str | None
) -> None:
    data = {"schema": 7, "producer": producer, "segments": "of a future kind"}
    if needed is None:
        with pytest.raises(BundleError, match="malformed"):
            decode(data)
        return
    with pytest.raises(BundleError) as caught:
        decode(data)
    assert "has schema 7" in str(caught.value)
    assert f"it needs edge_trt_runtime {needed}: pip install --upgrade" in str(caught.value)


def put(*keys: Any) -> Callable[[dict[str, Any], Any], None]:
    def change(data: Any, value: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


MALFORMED: list[tuple[tuple[Any, ...], Any, str]] = [
    (("schema",), "one", "Expected `int`, got `str` - at `$.schema`"),
    (("segments", 0, "name"), 3, "Expected `str`, got `int` - at `$.segments[0].name`"),
    (("segments", 0, "kind"), 3, "Expected `str`, got `int` - at `$.segments[0].kind`"),
    (("signature", "dims", "n", "max"), 1.5, "Expected `int`, got `float` - at `$.signature.dims"),
    (("files",), [], "Expected `object`, got `array` - at `$.files`"),
]


def test_a_kind_of_a_later_version_says_what_helps() -> None:
    data = as_dict()
    put("segments", 0, "kind")(data, "magic")
    with pytest.raises(BundleError, match=r"kind 'magic', .*knows network, onnx, torch") as caught:
        decode_manifest(msgspec.json.encode(data), bundle="m.edge")
    assert "pip install --upgrade edge-trt-runtime" in str(caught.value)


@pytest.mark.parametrize(("keys", "value", "message"), MALFORMED)
def test_malformed_says_where(keys: tuple[Any, ...], value: Any, message: str) -> None:
    data = as_dict()
    put(*keys)(data, value)
    with pytest.raises(BundleError, match=re.escape(message)) as caught:
        decode(data)
    assert caught.value.file == "manifest.json"
    assert "manifest.json of /b/m.edge is malformed" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ('"precision"', '"producer": "one", "producer": "other", "precision"', "producer"),
        ('"size": 10', r'"size": 10, "\u0073ize": 11', "size"),
        ('"options": {}', '"options": {"a": [{"b": 1, "b": 1}]}', "b"),
        ('"schema"', '"later": {"c": 1, "c": 2}, "schema"', "c"),
    ],
)
def test_names_that_stand_twice_are_refused(old: str, new: str, name: str) -> None:
    data = encode_manifest(manifest()).decode()
    assert old in data
    with pytest.raises(BundleError, match=f"malformed: '{name}' stands twice in one object"):
        decode_manifest(data.replace(old, new, 1).encode())


@pytest.mark.parametrize("place", ["later", "options"])
def test_deep_nesting_is_refused(place: str) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    data = json.dumps(as_dict() | {place: {"a": 0}}).encode()
    with pytest.raises(BundleError, match="malformed: it is nested too deeply"):
        decode_manifest(data.replace(b'{"a": 0}', b'{"a": ' + deep + b"}"))


def test_a_counter_is_set_and_the_rest_stays() -> None:
    data = as_dict() | {"later": {"b": [1e-5, None]}}
    changed = with_counter(json.dumps(data).encode(), 7)
    assert json.loads(changed)["later"] == data["later"]
    assert decode_manifest(changed) == msgspec.structs.replace(manifest(), counter=7)
    assert with_counter(changed, 7) == changed


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"schema": 1}'])
def test_not_a_manifest(data: bytes) -> None:
    with pytest.raises(BundleError, match="malformed"):
        decode_manifest(data)


ENGINE = {"segment": "main", "target": "cpu", "flavour": "onnx", "fingerprint": "cpu"}
CONTRADICTIONS: list[tuple[tuple[Any, ...], Any, str]] = [
    (("files",), {}, "'engines/cpu/main.onnx', used by the cpu engine of segment 'main', is not"),
    (("files", "manifest.json"), {"sha256": DIGEST, "size": 1}, "manifest.json lists itself"),
    (("files", "manifest.sig"), {"sha256": DIGEST, "size": 1}, "manifest.json lists manifest.sig"),
    (("files", "a"), {"sha256": "XYZ", "size": 1}, "sha256 of 'a' is not 64"),
    (("files", "a"), {"sha256": DIGEST, "size": 1 << 63}, "size of 'a' is 9223372036854775808,"),
    (("counter",), -1, "its counter is negative"),
    (("counter",), 1 << 64, "its counter is 18446744073709551616, which 64 bits can't hold"),
    (("greatest", "n*2"), -1, "the greatest value of 'n*2' is negative"),
    (("signature", "dims", "n", "max"), 1 << 70, "greatest size of 'n' is 1180591620717411303424"),
    (("signature", "inputs", 0, "shape"), [1 << 62, 0, 2], "input 'x' has more elements than 64"),
    (("segments", 0, "tensors", 0, "shape"), [1] * 65, "'main' has 65 dimensions, which are more"),
    (("files", "a"), {"sha256": DIGEST, "size": -1}, "size of 'a' is negative"),
    (("signature", "dims", "n", "min"), 9, "dimension 'n' has min 9, opt 2, max 8"),
    (("signature", "inputs", 0, "shape"), [-1, 4], "input 'x' has a negative size"),
    (("signature", "outputs", 0, "name"), "y", "output 'output' is missing from the signature"),
    (("results",), {}, "output 'output' is missing from the results"),
    (("results", "output"), "nowhere", "output 'output' is 'nowhere', which no segment gives"),
    (("segments", 0, "inputs"), ["late"], "reads 'late', which nothing before it gives"),
    (("segments", 0, "outputs"), ["x"], "gives 'x', which exists already"),
    (("segments", 0, "tensors"), [], "does not say the type of 'x'"),
    (("segments", 0, "kind"), "torch", "is a program of kind torch without a file"),
    (("segments", 0, "kind"), "onnx", "is a program of kind onnx without a file"),
    (("engines", 0, "segment"), "other", "is for an unknown segment 'other'"),
    (("engines", 0, "stream"), 0, "is of stream 0, and the first is 1"),
]


@pytest.mark.parametrize(("keys", "value", "message"), CONTRADICTIONS)
def test_contradictions_are_refused(keys: tuple[Any, ...], value: Any, message: str) -> None:
    data = as_dict()
    put(*keys)(data, value)
    with pytest.raises(BundleError, match=re.escape(message)):
        decode(data)


@pytest.mark.parametrize("twice", ["signature.inputs", "signature.outputs", "segments"])
def test_names_are_unique(twice: str) -> None:
    data = as_dict()
    rows: Any = data
    for key in twice.split("."):
        rows = rows[key]
    rows.append(rows[0])
    with pytest.raises(BundleError, match=r"two (inputs|outputs|segments) are named"):
        decode(data)


@pytest.mark.parametrize(
    "keys",
    [("segments", 0, "network"), ("segments", 0, "program"), ("engines", 0, "path")],
)
def test_unsafe_paths_are_refused_wherever_they_stand(keys: tuple[Any, ...]) -> None:
    data = as_dict()
    put(*keys)(data, "../../etc/passwd")
    with pytest.raises(BundleError, match=r"unsafe path '../../etc/passwd' .* leaves the bundle"):
        decode(data)


def test_unsafe_listed_and_self_test_paths_are_refused() -> None:
    data = as_dict()
    data["files"]["/etc/passwd"] = {"sha256": DIGEST, "size": 1}
    with pytest.raises(BundleError, match="it is absolute"):
        decode(data)
    data = as_dict()
    data["self_test"] = {"path": "a/../../b", "cases": 1, "rtol": 0.0, "atol": 0.0}
    with pytest.raises(BundleError, match="unsafe path"):
        decode(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.data())
def test_any_damage_is_a_bundle_error(data: st.DataObject) -> None:
    tree: Any = as_dict()
    place: Any = tree
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    with suppress(BundleError):
        decode(tree)


def test_engine_details_hold_plain_values() -> None:
    engine = Engine(**ENGINE, path="p", details={"layers": 3, "gpu": "orin", "dla": False})
    assert engine.details["layers"] == 3
