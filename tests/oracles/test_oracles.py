# SPDX-License-Identifier: Apache-2.0
"""The oracles themselves: they run what they say, and each notices what it is there for."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edge_trt.capture import Input
from edge_trt.engines.tensorrt.dispatch import emit_layer
from edge_trt.network.graph import Network, Node
from edge_trt.network.layers import Activation
from edge_trt.network.types import DType
from tests.support import oracles
from tests.support.oracles import Definition, OracleError, check, check_types, load_flavour

pytestmark = pytest.mark.rtx


class Nested(nn.Module):
    """Keyword arguments, a mapping inside, a constant, and outputs in a mapping and a list."""

    def forward(
        self, parts: dict[str, torch.Tensor], power: int, *, scale: torch.Tensor
    ) -> dict[str, Any]:
        return {"scaled": parts["a"] * scale, "sums": [parts["b"].sum(1), parts["b"] ** power]}


def test_all_three_run_at_every_size() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    report = check(model, (torch.randn(2, 3, 9, 9),), ranges={0: (1, 2, 6), 2: (8, 9, 20)})
    assert report.ran == ["numerics", "validity", "emission"]
    assert report.sizes == ["opt", "min", "max", "odd"]
    assert not report.skipped
    assert set(report.errors) == {"numerics", "emission"}
    assert report.layers["Convolution"] == report.tensorrt_layers["CONVOLUTION"] == 1
    assert "ran numerics, validity, emission at opt, min, max, odd sizes" in str(report)


def test_a_fixed_size_is_run_twice_with_other_numbers() -> None:
    assert check(torch.tanh, torch.randn(3, 4), kinds="Activation").sizes == ["opt", "opt again"]


def test_nested_arguments_reach_their_places() -> None:
    inputs = {
        "scale": torch.randn(4),
        "power": 2,
        "parts": {"a": torch.randn(3, 4), "b": torch.randn(3, 5)},
    }
    report = check(Nested(), inputs)
    assert [t.name for t in report.network.outputs] == ["scaled", "sums_0", "sums_1"]


def test_ranges_may_differ_per_input_and_be_tied_by_name() -> None:
    ranges = ({0: ("n", 1, 2, 4)}, {1: ("n", 1, 2, 4)}, {})
    inputs = (torch.randn(2, 3), torch.randn(3, 2), torch.randn(1))
    report = check(lambda a, b, c: (a @ b + c, a.T + b), inputs, ranges=ranges)
    shapes = {tuple(t.shape) for t in report.network.inputs}
    assert shapes == {("n", 3), (3, "n"), (1,)}


def test_indices_stay_in_the_range_of_the_example() -> None:
    check(nn.Embedding(5, 3), torch.tensor([[0, 4], [2, 1]]), ranges={0: (1, 2, 40)})


def test_a_chosen_oracle_runs_alone() -> None:
    report = check(torch.tanh, torch.randn(3), oracles=("numerics",))
    assert report.ran == ["numerics"]
    assert not report.tensorrt_layers


def test_a_missing_kind_is_an_error() -> None:
    with pytest.raises(OracleError, match="no Convolution layer"):
        check(torch.tanh, torch.randn(3), kinds="Activation Convolution")


def test_what_has_no_converter_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OracleError, match=r"linalg_svd.*can't factorise a matrix"):
        check(torch.linalg.svdvals, torch.randn(3, 3))


def test_an_unknown_oracle_is_refused() -> None:
    with pytest.raises(ValueError, match="no oracle speed"):
        check(torch.tanh, torch.randn(3), oracles=("speed",))


def replace_activation(kind: str) -> Callable[[Network], Network]:
    """A rewrite that computes another function, with the same shapes and types."""

    def rewrite(network: Network) -> Network:
        network.nodes = [
            dataclasses.replace(node, layer=Activation(kind))
            if isinstance(node.layer, Activation)
            else node
            for node in network.nodes
        ]
        return network

    return rewrite


def test_numerics_notices_a_wrong_network(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OracleError, match="numerics: output output at opt sizes"):
        check(torch.tanh, torch.randn(3, 4), rewrite=replace_activation("SIGMOID"))
    assert "Activation[type=SIGMOID" in capsys.readouterr().out


def test_emission_notices_what_only_tensorrt_gets_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    right = emit_layer.dispatch(Activation)

    def wrong(layer: Activation, emitter: Any, node: Node) -> Any:
        return right(dataclasses.replace(layer, type="SIGMOID"), emitter, node)

    # the package shows the function `emit` under the name of its module
    monkeypatch.setattr(sys.modules["edge_trt.engines.tensorrt.nodes"], "emit_layer", wrong)
    with pytest.raises(OracleError, match="emission: output output at opt sizes"):
        check(torch.tanh, torch.randn(3, 4))
    assert check(torch.tanh, torch.randn(3, 4), oracles=("numerics", "validity")).ran


@pytest.mark.parametrize(
    "change",
    [
        lambda type: type.with_dtype(DType.FLOAT16),
        lambda type: type.with_shape((*type.shape, 1)),
        lambda type: type.with_shape((type.shape[0], 5)),
    ],
)
def test_validity_notices_another_type_or_shape(change: Callable[[Any], Any]) -> None:
    module = nn.Softmax(1).eval()
    given = oracles.Inputs.of(module, torch.randn(3, 4), {0: (1, 3, 8)})
    network, _ = oracles.compile_block(module, given)
    definition = Definition.of(network, load_flavour().module)
    check_types(network, definition)
    network.outputs[0].type = change(network.outputs[0].type)
    with pytest.raises(AssertionError, match="in TensorRT"):
        check_types(network, definition)


def test_kinds_that_tensorrt_cannot_build_here_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracles, "NOT_BUILT", {"SOFTMAX": "nobody runs it"})
    report = check(nn.Softmax(1), torch.randn(3, 4))
    assert report.skipped == {"build": "nobody runs it"}
    assert "build skipped: nobody runs it" in str(report)


def test_errors_are_measured_against_the_largest_value() -> None:
    """Ten thousand times the tolerance of a small element is no error beside a large one."""

    def wide(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x * 1e-8, F.relu(x) * 1e4])

    assert max(check(wide, torch.randn(64)).errors.values()) < 1e-5


def test_inputs_become_named_ranges() -> None:
    module = nn.Identity()
    given = oracles.Inputs.of(module, (torch.randn(2, 3),), {0: (1, 2, 8)})
    (described,) = given.described()
    expected = Input(("dim0", 3), min={"dim0": 1}, opt={"dim0": 2}, max={"dim0": 8})
    assert described == expected
