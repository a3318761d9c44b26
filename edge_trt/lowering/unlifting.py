# SPDX-License-Identifier: Apache-2.0
"""From an ``ExportedProgram`` to a graph module whose placeholders are the user's inputs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.fx._lazy_graph_module import _LazyGraphModule

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_LIFTED = {
    InputKind.PARAMETER,
    InputKind.BUFFER,
    InputKind.CONSTANT_TENSOR,
    InputKind.CUSTOM_OBJ,
}
STATE = "edge_trt_state"
"""Key in ``gm.meta``: qualified names of buffers that the program writes to."""
RANGES = "edge_trt_ranges"
"""Key in ``gm.meta``: what the program promises of each symbol."""


def unlift(program: ExportedProgram) -> fx.GraphModule:
    """Turn parameters, buffers and constants into attributes; keep the user's inputs and outputs.

    Neither weights nor the program are touched: the graph is copied, tensors are shared, nothing is
    traced again::

        before  placeholders p_conv_weight, p_conv_bias, x ; return (conv2d,)
        after   placeholder x ; get_attr conv_weight, conv_bias ; return (conv2d,)

    Args:
        program: Any exported program, functional or not.

    Returns:
        A module whose placeholders are the user's tensors in order (unused ones too) and whose
        output is the flat tuple of the user's output tensors. Numbers, flags and None, which are
        fixed since capture, are neither. Attribute nodes carry the qualified name in
        ``meta["fqn"]``.
    """
    names = _Names()
    attributes: dict[str, Any] = {}
    shared: dict[int, torch.Tensor] = {}
    lifted = {
        spec.arg.name: spec.target
        for spec in program.graph_signature.input_specs
        if spec.kind in _LIFTED and spec.target is not None
    }
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    fixed = _fixed_inputs(program)
    for node in program.graph.nodes:
        if node.name in fixed and not node.users:
            continue
        if node.op == "placeholder" and node.name in lifted:
            if not node.users:
                continue
            fqn = lifted[node.name]
            attribute = names.add(fqn)
            attributes[attribute] = _share(_stored(program, fqn), shared)
            copy = graph.create_node("get_attr", attribute, name=attribute)
            copy.meta = {**node.meta, "fqn": fqn}
        elif node.op == "output":
            copy = graph.output(_user_outputs(program, node, copies))
            copy.meta = dict(node.meta)
        else:
            if node.op == "get_attr":  # the body of a higher-order operator
                attributes[node.target] = getattr(program.graph_module, node.target)
            copy = graph.node_copy(node, copies.__getitem__)
        copies[node] = copy
    gm = _LazyGraphModule(attributes, graph, class_name="Lowered")  # code when it is called
    gm.meta[STATE] = set(program.graph_signature.buffers_to_mutate.values())
    gm.meta[RANGES] = dict(program.range_constraints)
    return gm


def _stored(program: ExportedProgram, fqn: str) -> Any:
    found = program.state_dict.get(fqn)
    return program.constants[fqn] if found is None else found


def _share(value: Any, shared: dict[int, torch.Tensor]) -> Any:
    """Strip the autograd history without copying; tied tensors stay one object."""
    if not isinstance(value, torch.Tensor):
        return value
    return shared.setdefault(id(value), value.detach())


def _fixed_inputs(program: ExportedProgram) -> set[str]:
    """Names of placeholders whose value capture made a constant of the graph."""
    specs = program.graph_signature.input_specs
    return {spec.arg.name for spec in specs if isinstance(spec.arg, ConstantArgument)}


def _user_outputs(
    program: ExportedProgram, output: fx.Node, copies: dict[fx.Node, fx.Node]
) -> tuple[Any, ...]:
    """Drop constants, and the write-backs of buffers that a functional program returns."""
    specs = program.graph_signature.output_specs
    return tuple(
        copies[value]
        for spec, value in zip(specs, output.args[0], strict=True)  # type: ignore[arg-type]
        if spec.kind == OutputKind.USER_OUTPUT and isinstance(value, fx.Node)
    )


class _Names:
    """Attribute names: flat and unique, as a tensor ``a`` and a module ``a`` may both exist."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def add(self, fqn: str) -> str:
        """Return a fresh attribute name for a qualified name."""
        base = re.sub(r"\W", "_", fqn)
        if base[:1].isdigit() or base.startswith("_") or hasattr(fx.GraphModule, base):
            base = f"tensor_{base.lstrip('_')}"
        name, count = base, 1
        while name in self._taken:
            name, count = f"{base}_{count}", count + 1
        self._taken.add(name)
        return name
