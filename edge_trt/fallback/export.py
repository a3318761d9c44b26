# SPDX-License-Identifier: Apache-2.0
"""A fallback block as an ONNX model, by torch's own exporter."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import re
import warnings
from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from torch import fx
from torch._decomp import decomposition_table
from torch.export import ExportedProgram
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from edge_trt.bundle.layout import WEIGHTS
from edge_trt.bundle.onnx_program import OnnxProgram, assemble
from edge_trt.conversion.origin import operator_of
from edge_trt.engines.onnx.graph import INLINE_BYTES
from edge_trt.engines.onnx.model import OPSET
from edge_trt.fallback.translations import TRANSLATIONS
from edge_trt.partitioning.blocks import Block

aten = torch.ops.aten
_INDEXING = (aten.index.Tensor, aten.index_put.default, aten._unsafe_index.Tensor)


class NotPortableError(Exception):
    """A block has no ONNX form; the text says why, in one sentence without a full stop."""


def export_onnx(block: Block, program: ExportedProgram) -> OnnxProgram:
    """Exports a block whose `program` torch.export has made; its values keep their names.

    Raises:
        NotPortableError: the exporter is not installed or does not take the block.
    """
    if importlib.util.find_spec("onnxscript") is None:
        raise NotPortableError(
            "onnxscript is not installed, which writes ONNX: pip install 'edge-trt[cpu]'"
        )
    for forms in ("operators", "keypoints"):  # registers our forms
        importlib.import_module(f"edge_trt.fallback.{forms}")
    _widen_indices(program)
    vision = importlib.import_module("edge_trt.fallback.vision")
    try:
        with _quietly():
            exported: Any = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=block.inputs,
                output_names=block.outputs,
                custom_translation_table={**vision.torchvision_forms(), **TRANSLATIONS},
                verbose=False,
            )
            arrays = _take_weights(exported.model)
            model = exported.model_proto
            _strip(model)
            return assemble(model, arrays, WEIGHTS)
    except Exception as error:  # the exporter lets through whatever an operator's function raises
        raise NotPortableError(_reason(error, program)) from error


def _widen_indices(program: ExportedProgram) -> None:
    """Makes all indices int64: PyTorch takes int32 beside it, and ONNX one type for all axes."""
    for node in program.graph.nodes:
        if node.target not in _INDEXING:
            continue
        values, indices, *rest = node.args
        with program.graph.inserting_before(node):
            node.args = (values, [_widened(program, index) for index in indices], *rest)


def _widened(program: ExportedProgram, index: Any) -> Any:
    if index is None or index.meta["val"].dtype is not torch.int32:
        return index
    wide = program.graph.call_function(aten._to_copy.default, (index,), {"dtype": torch.int64})
    wide.meta = {**index.meta, "val": index.meta["val"].to(torch.int64)}
    return wide


def _take_weights(model: Any) -> dict[str, np.ndarray]:
    """Takes the larger weights out of the exporter's model before it is copied into protobuf."""
    values = dict(model.graph.initializers)
    large = {n: v for n, v in values.items() if v.const_value.nbytes > INLINE_BYTES}
    for name in large:
        model.graph.initializers.pop(name)
    return {name: value.const_value.numpy() for name, value in large.items()}


def _strip(model: Any) -> None:
    """Drops what the exporter notes about this machine: stack traces with paths."""
    _forget(model)
    _strip_graph(model.graph)
    for function in model.functions:
        _strip_graph(function)


def _strip_graph(graph: Any) -> None:
    """Cleans a graph or a function, which have their nodes in common."""
    values = (getattr(graph, name, ()) for name in ("input", "output", "initializer"))
    _forget(graph, *(v for group in values for v in group if not isinstance(v, str)), *graph.node)
    graph.ClearField("value_info")  # ONNX Runtime infers it
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):  # a graph is there once it is touched
                _strip_graph(attribute.g)
            for inner in attribute.graphs:
                _strip_graph(inner)


def _forget(*messages: Any) -> None:
    for message in messages:
        message.ClearField("metadata_props")
        message.ClearField("doc_string")


@contextlib.contextmanager
def _quietly() -> Generator[None]:
    """The exporter warns, logs and prints what the reason says better."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(error: BaseException, program: ExportedProgram) -> str:
    """The innermost cause on one line; the outer ones say how to report a bug to torch."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().partition("\n")[0].rstrip(". ") or type(error).__name__
    missing = re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", text)
    return f"ONNX has no form of {_called(missing[1], program)}" if missing else text


def _called(missing: str, program: ExportedProgram) -> str:
    """The operator of the model, where the exporter took it apart into one without a form."""
    calls = [n for n in program.graph.nodes if isinstance(n.target, torch._ops.OpOverload)]
    names = [operator_of(node).removesuffix(".default") for node in calls]
    if missing.removesuffix(".default") in names:
        return f"{missing} here"
    for node, name in zip(calls, names, strict=True):
        with contextlib.suppress(Exception):  # no more than a better word depends on it
            if missing in _parts(node):
                return f"{name} here, which is made of {missing}"
    return f"{missing} here"


def _parts(call: fx.Node) -> set[str]:
    """Names of the operators that a call is taken apart into."""
    values = map_arg((call.args, call.kwargs), lambda node: node.meta["val"])
    leaves, spec = pytree.tree_flatten(values)
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]

    def run(*given: torch.Tensor) -> Any:
        rest = iter(given)
        filled = [next(rest) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        args, kwargs = pytree.tree_unflatten(filled, spec)
        return call.target(*args, **kwargs)  # type: ignore[operator]

    traced = make_fx(run, decomposition_table=decomposition_table)(*tensors)
    targets = (n.target for n in traced.graph.nodes if isinstance(n.target, torch._ops.OpOverload))
    return {str(target).removesuffix(".default") for target in targets}
