# SPDX-License-Identifier: Apache-2.0
"""PyTorch segments: hybrid order, sharing of memory, plain numbers, and torch that is missing."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edge_trt_runtime
from edge_trt_runtime import EngineError, Range
from edge_trt_runtime.executors.torch import TorchExecutor
from tests.support.bundles import Draft, node, relu_draft, spec


class Program(torch.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("table", torch.arange(3.0))
        self.register_parameter("gain", torch.nn.Parameter(torch.tensor(2.0)))

    def forward(self, *values: Any) -> Any:
        return self.function(self, *values)


def pt2(function: Callable[..., Any], *examples: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.export.save(torch.export.export(Program(function), examples, **options), file)
    return file.getvalue()


def one(program: bytes, inputs: list[Any], values: list[Any], **more: Any) -> Draft:
    draft = Draft(
        inputs=inputs,
        outputs=[spec(f"out{i}", value.shape, value.dtype) for i, value in enumerate(values)],
        results={f"out{i}": value.name for i, value in enumerate(values)},
        values=values,
        **more,
    )
    return draft.torch("t", [s.name for s in inputs], [s.name for s in values], program)


def test_network_torch_network(tmp_path: Path) -> None:
    x = torch.randn(2, 3)
    program = pt2(lambda self, a, b: (a.cumsum(1) * self.gain, (a + b).sort(1)[1]), x, x.clone())
    draft = Draft(
        inputs=[spec("x", [2, 3])],
        outputs=[spec("output", [2, 3]), spec("order", [2, 3], "int64")],
        results={"output": "last.0", "order": "t.1"},
        values=[spec(n, [2, 3]) for n in ("first.0", "t.0", "last.0")]
        + [spec("t.1", [2, 3], "int64")],
    )
    draft.network("first", ["x"], ["first.0"], [node("Relu", "x", "first.0")])
    draft.torch("t", ["first.0", "x"], ["t.0", "t.1"], program)
    draft.network("last", ["t.0", "x"], ["last.0"], [node("Sub", "t.0 x", "last.0")])
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge")) as session:
        outputs = session.run({"x": x.numpy()})
    expected = x.relu().cumsum(1) * 2 - x
    np.testing.assert_allclose(outputs["output"], expected.numpy(), rtol=1e-6)
    np.testing.assert_array_equal(outputs["order"], (x.relu() + x).sort(1)[1].numpy())


def test_outputs_share_memory_with_nothing(tmp_path: Path) -> None:
    program = pt2(
        lambda self, a: (a.view(6), a.t(), self.table.view(3), a + 1, (a * 2).view(6)[2:]),
        torch.zeros(2, 3),
    )
    shapes: list[list[int | str]] = [[6], [3, 2], [3], [2, 3], [4]]
    values = [spec(f"t.{i}", shape) for i, shape in enumerate(shapes)]
    path = one(program, [spec("x", [2, 3])], values).write(tmp_path / "m.edge")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    with edge_trt_runtime.load(path) as session:
        first, second = session.run({"x": x}), session.run({"x": x})
        arrays = [x, *first.values(), *second.values()]
        for i, array in enumerate(arrays):
            assert array.flags.writeable
            assert not any(np.may_share_memory(array, other) for other in arrays[:i])
        for array in first.values():
            array[...] = 99
        third = session.run({"x": x})
    for name, array in second.items():
        np.testing.assert_array_equal(third[name], array)
    np.testing.assert_array_equal(third["out0"], np.arange(6))
    np.testing.assert_array_equal(third["out2"], [0, 1, 2])


def test_writable_arrays_are_shared_with_torch_and_others_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = TorchExecutor._tensor

    def watch(self: TorchExecutor, array: np.ndarray) -> torch.Tensor:
        tensor = original(self, array)
        seen.append(tensor.data_ptr() == array.ctypes.data)
        return tensor

    monkeypatch.setattr(TorchExecutor, "_tensor", watch)
    program = pt2(lambda self, a: a * 2, torch.zeros(4))
    path = one(program, [spec("x", [4])], [spec("t.0", [4])]).write(tmp_path / "m.edge")
    x = np.arange(4, dtype=np.float32)
    frozen = x.copy()
    frozen.flags.writeable = False
    unaligned = np.frombuffer(bytearray(b"\0" + x.tobytes()), np.float32, offset=1)
    strided = np.repeat(x, 2)[::2]
    with edge_trt_runtime.load(path) as session:
        for given in (x, strided, frozen, x[::-1].copy()[::-1], unaligned):
            np.testing.assert_array_equal(session.run({"x": given})["out0"], x * 2)
    assert seen == [True, True, False, False, False]


def test_scalars_and_plain_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A size that one segment measures and another uses crosses as a 0-d integer array."""
    x = torch.randn(5, 2)
    dim = torch.export.Dim("n", min=2, max=9)
    measure = pt2(lambda self, a: (a.shape[0], a.sum()), x, dynamic_shapes={"values": ({0: dim},)})
    shapes = {"values": ({0: dim}, torch.export.Dim.DYNAMIC)}
    use = pt2(lambda self, a, k: a.sum() * k, x, 5, dynamic_shapes=shapes)
    values = [spec("m.0", [], "int64"), spec("m.1", []), spec("u.0", [])]
    draft = Draft(
        inputs=[spec("x", ["n", 2])],
        outputs=[spec("size", [], "int64"), spec("sum", []), spec("product", [])],
        results={"size": "m.0", "sum": "m.1", "product": "u.0"},
        dims={"n": Range(2, 5, 9)},
        values=values,
    )
    draft.torch("m", ["x"], ["m.0", "m.1"], measure)
    draft.torch("u", ["x", "m.0"], ["u.0"], use)
    draft.write(tmp_path / "m.edge")
    seen: list[type] = []
    original = TorchExecutor._arrays

    def watch(self: TorchExecutor, outputs: list[Any], arguments: list[Any]) -> list[np.ndarray]:
        seen.extend(map(type, arguments))
        return original(self, outputs, arguments)

    monkeypatch.setattr(TorchExecutor, "_arrays", watch)
    x = torch.randn(7, 2)
    with edge_trt_runtime.load(tmp_path / "m.edge") as session:
        outputs = session.run({"x": x.numpy()})
    assert seen == [torch.Tensor, torch.Tensor, int]
    assert outputs["size"].shape == ()
    assert outputs["size"].dtype == np.int64
    assert outputs["size"] == 7
    np.testing.assert_allclose(outputs["sum"], x.sum().numpy(), rtol=1e-6)
    np.testing.assert_allclose(outputs["product"], x.sum().numpy() * 7, rtol=1e-6)


def test_unwanted_outputs_are_dropped(tmp_path: Path) -> None:
    program = pt2(lambda self, a: (a + 1, a + 2, a + 3), torch.zeros(2))
    draft = one(program, [spec("x", [2])], [spec(f"t.{i}", [2]) for i in range(3)])
    draft.outputs, draft.results = [spec("output", [2])], {"output": "t.1"}
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge")) as session:
        np.testing.assert_array_equal(session.run({"x": np.zeros(2, "f4")})["output"], [2, 2])


def test_dynamic_sizes_and_threads(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    dim = torch.export.Dim("n", min=2, max=9)
    program = pt2(
        lambda self, a: a.cumsum(0), torch.zeros(4, 2), dynamic_shapes={"values": ({0: dim},)}
    )
    draft = one(program, [spec("x", ["n", 2])], [spec("t.0", ["n", 2])], dims={"n": Range(2, 4, 9)})
    try:
        with edge_trt_runtime.load(draft.write(tmp_path / "m.edge"), threads=1) as session:
            assert torch.get_num_threads() == 1
            for n in (2, 5, 9):
                x = np.ones((n, 2), np.float32)
                np.testing.assert_array_equal(session.run({"x": x})["out0"], x.cumsum(0))
    finally:
        torch.set_num_threads(before)


def test_torch_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = pt2(lambda self, a: a * 2, torch.zeros(2))
    path = one(program, [spec("x", [2])], [spec("t.0", [2])]).write(tmp_path / "m.edge")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineError, match="segment 't' is a PyTorch program") as caught:
        edge_trt_runtime.load(path)
    assert "pip install torch" in caught.value.hint
    assert caught.value.segment == "t"


def test_failures_name_the_segment(tmp_path: Path) -> None:
    draft = one(b"not a program", [spec("x", [2])], [spec("t.0", [2])])
    with pytest.raises(EngineError, match=r"segment 't': 'fallback/t.pt2' could not be loaded"):
        edge_trt_runtime.load(draft.write(tmp_path / "a.edge"))
    program = pt2(lambda self, a, i: a[i], torch.zeros(2), torch.zeros(1, dtype=torch.int64))
    inputs = [spec("x", [2]), spec("i", [1], "int64")]
    path = one(program, inputs, [spec("t.0", [1])]).write(tmp_path / "b.edge")
    with (
        edge_trt_runtime.load(path) as session,
        pytest.raises(EngineError, match=r"segment 't': PyTorch failed .*index 7"),
    ):
        session.run({"x": np.zeros(2, "f4"), "i": np.array([7])})
    path = one(program, inputs[:1], [spec("t.0", [1])]).write(tmp_path / "c.edge")
    with pytest.raises(EngineError, match="takes 2 inputs, and the manifest says 1"):
        edge_trt_runtime.load(path)


def test_an_operator_of_another_library_is_named(tmp_path: Path) -> None:
    with torch.library._scoped_library("elsewhere", "DEF") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
        program = pt2(lambda _, x: torch.ops.elsewhere.twice(x), torch.ones(2))
    draft = one(program, [spec("x", [2])], [spec("t.0", [2])])
    with pytest.raises(EngineError, match=r"calls elsewhere::twice, which nothing has") as caught:
        edge_trt_runtime.load(draft.write(tmp_path / "m.edge"))
    assert "import the library" in str(caught.value.hint)


def test_a_network_bundle_does_not_import_torch(tmp_path: Path) -> None:
    import subprocess

    path = relu_draft().write(tmp_path / "m.edge")
    code = (
        "import sys; sys.modules['torch'] = None; import edge_trt_runtime, numpy\n"
        f"session = edge_trt_runtime.load({str(path)!r})\n"
        "print(session.run({'x': numpy.ones((1, 4), 'f4')})['output'].sum())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "4.0\n"), result.stderr
