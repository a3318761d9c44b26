# SPDX-License-Identifier: Apache-2.0
"""Ways to damage a bundle: by accident, and by somebody who knows what it is made of."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from msgspec.structs import replace
from safetensors.numpy import save

from edge_trt.bundle import BundleWriter
from edge_trt_runtime.checksums import file_entry
from edge_trt_runtime.manifest import Range, SelfTest, State
from tests.support.bundles import Draft, node, spec

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
TEST, STATE = "test.safetensors", "state.safetensors"
DEEP = "<deep>"  # a place that becomes thousands of brackets in the text

PATHS = [
    "../secret", "/etc/passwd", "a/../../b", "engines", "engines/cpu/../cpu/one.onnx", "", ".",
    "manifest.json", "manifest.sig", "a\\b", "C:x", "a\0b", "//", "engines/cpu/one.onnx/",
    "x" * 5000, "\u202etxt", "~", "state.safetensors",
]  # fmt: skip
NUMBERS = [
    0, 1, -1, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**300,
    0.5, -0.0, 1e308, 5e-324,
]  # fmt: skip
WORDS = ["float32", "float64", "int64", "bool", "bfloat16", "onnx", "torch", "network", "gpu",
         "host", "dla:0", "cpu", "n", "n*2", "?", "x", "main.0"]  # fmt: skip


def make_bundle(path: Path) -> Path:
    """Two segments, a range of sizes, a state, recorded cases."""
    draft = Draft(
        inputs=[spec("x", ["n", 4]), spec("h", [1, 4])],
        outputs=[spec("y", ["n", 4]), spec("next", [1, 4])],
        results={"y": "one.0", "next": "two.0"},
        dims={"n": Range(1, 2, 8)},
        values=[spec("one.0", ["n", 4]), spec("two.0", [1, 4])],
    )
    draft.network("one", ["x"], ["one.0"], [node("Relu", "x", "one.0")])
    draft.network("two", ["h"], ["two.0"], [node("Abs", "h", "two.0")])
    x, h = np.ones((2, 4), np.float32), -np.ones((1, 4), np.float32)
    draft.files[TEST] = save({"0/in/x": x, "0/in/h": h, "0/out/y": x, "0/out/next": -h})
    draft.files[STATE] = save({"h": h})
    draft.self_test = SelfTest(TEST, 1, 1e-4, 1e-5)
    manifest = draft.manifest()
    signature = replace(manifest.signature, states=[State("h", "next")])
    with BundleWriter(path) as writer:
        for relative, data in draft.files.items():
            writer.add_bytes(relative, data)
        writer.commit(replace(manifest, signature=signature, initial_states=STATE))
    return path


def files(bundle: Path) -> list[Path]:
    """Everything in a bundle that is no folder, in an order that does not change."""
    return sorted(path for path in bundle.rglob("*") if not path.is_dir())


# --- the manifest as a tree -------------------------------------------------------------------


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of every value."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


JSON = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(PATHS + WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner),
    max_leaves=4,
)
ALIKE = {
    int: st.sampled_from([number for number in NUMBERS if isinstance(number, int)]),
    float: st.sampled_from(NUMBERS),
    str: st.sampled_from(PATHS + WORDS),
}
HOW = [*["alike"] * 8, *["swap"] * 4, *["copy"] * 3, "value", "remove", "empty", "rename", "deep"]


@st.composite
def changed_trees(draw: Callable[..., Any], tree: Any) -> Any:
    """A manifest with one to three changes, most of which leave it well-formed."""
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        container, key = draw(st.sampled_from(places))
        old = container[key]
        same = [(c, k) for c, k in places if type(c[k]) is type(old)]
        other, other_key = draw(st.sampled_from(same))
        how = draw(st.sampled_from(HOW))
        if how == "alike":
            container[key] = draw(ALIKE[type(old)]) if type(old) in ALIKE else other[other_key]
        elif how == "swap":
            container[key], other[other_key] = other[other_key], old
        elif how == "copy" and isinstance(container, list):
            container.append(old)
        elif how == "empty" and isinstance(old, dict | list):
            container[key] = type(old)()
        elif how == "rename" and isinstance(container, dict):
            container[draw(st.sampled_from(PATHS + WORDS))] = container.pop(key)
        elif how == "deep":
            container[key] = DEEP
        elif how in {"value", "copy", "empty", "rename"}:
            container[key] = draw(JSON)
        else:
            del container[key]
        tree = json.loads(json.dumps(tree)) if _is_tree(tree) else {}
        if not tree:
            break
    return tree


def _is_tree(tree: Any) -> bool:
    """Whether nothing contains itself: a swap can do that."""
    try:
        json.dumps(tree)
    except (ValueError, RecursionError):
        return False
    return True


def as_text(tree: Any, *, twice: bool = False) -> bytes:
    """Return a manifest as text; `twice` names the first thing twice."""
    text = json.dumps(tree)
    if twice and text[:2] == '{"':
        text = "{" + text[1 : text.index(":")] + ": null, " + text[1:]
    deep = "[" * 5_000 + "]" * 5_000
    return text.replace(json.dumps(DEEP), deep).encode()


# --- files ------------------------------------------------------------------------------------


def flip(path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)


def truncate(path: Path, data: st.DataObject) -> None:
    os.truncate(path, data.draw(st.integers(0, path.stat().st_size - 1)))


def extend(path: Path, data: st.DataObject) -> None:
    path.write_bytes(path.read_bytes() + data.draw(st.binary(min_size=1, max_size=9)))


def inflate(path: Path, data: st.DataObject) -> None:
    os.truncate(path, 1 << data.draw(st.sampled_from([20, 31, 40])))  # a hole: no disk is used


def remove(path: Path, data: st.DataObject) -> None:
    path.unlink()


def link_out(path: Path, data: st.DataObject) -> None:
    outside = next(folder for folder in path.parents if folder.suffix == ".edge").parent / "outside"
    shutil.move(path, outside)
    path.symlink_to(outside)


def link_in(path: Path, data: st.DataObject) -> None:
    path.unlink()
    path.symlink_to(data.draw(st.sampled_from(["nowhere", path.name, "..", "../manifest.json"])))


def become_folder(path: Path, data: st.DataObject) -> None:
    path.unlink()
    path.mkdir()


def become_pipe(path: Path, data: st.DataObject) -> None:
    path.unlink()
    os.mkfifo(path)


def add_beside(path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["extra", "manifest.sig.bak", ".hidden", "é", "manifest.SIG"]))
    (path.parent / name).write_bytes(b"x")


FILE_DAMAGE = [
    flip, flip, flip, truncate, extend, inflate, remove, link_out, link_in, become_folder,
    become_pipe, add_beside,
]  # fmt: skip


def sealed(bundle: Path, tree: Any) -> None:
    """Write a manifest as somebody would who can compute sums: it fits itself and its files."""
    for name, entry in tree["files"].items():
        found = file_entry(str(bundle / name))
        entry.update(sha256=found.sha256, size=found.size)
    (bundle / MANIFEST).write_bytes(as_text(tree))
