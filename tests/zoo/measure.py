# SPDX-License-Identifier: Apache-2.0
"""Measures one model of the zoo in the process that it is called in.

    python -m tests.zoo.measure NAME

prints the record of one model, and the traceback of what went wrong.
"""

from __future__ import annotations

import copy
import datetime
import importlib.metadata
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

import edge_trt
import edge_trt_runtime
from edge_trt.errors import BuildError
from edge_trt.options import CompileOptions
from edge_trt.pipeline import add_engines
from tests.support.eager import Arguments, outputs
from tests.support.zoo import ZOO
from tests.support.zoo.entry import Entry
from tests.zoo.record import AGREES, Record, write

SEEDS = (0, 2)
"""Of the inputs that are compared; 1 is the sample that running statistics come from."""

PACKAGES = ("torch", "torchvision", "timm", "transformers", "tensorrt_rtx", "onnxruntime")


def take(name: str, path: Path) -> None:
    """Measures a model; the file holds what is known after every stage, if the process dies."""
    today = datetime.datetime.now(datetime.timezone.utc).date()
    record = Record(name, ZOO[name].group, date=today.isoformat())
    record.versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in PACKAGES)
    warnings.simplefilter("ignore")
    stage = "making the model"
    try:
        for stage in measure(ZOO[name], record):
            record.failure = f"{stage} did not end"
            write([record], path)
        record.failure = ""
    except Exception as error:
        traceback.print_exc()
        record.failure = f"{stage}: {sentence(error)}"
    write([record], path)


def measure(entry: Entry, record: Record) -> Iterator[str]:
    """Fills a record, and yields the name of every stage before it begins."""
    yield "making the model"
    torch.manual_seed(0)
    model, arguments = entry.build(), entry.arguments()
    record.inputs = describe(arguments)
    record.parameters = sum(parameter.numel() for parameter in model.parameters())
    yield "compile"
    start = time.perf_counter()
    bundle = edge_trt.compile(model, arguments, target="cpu", self_test=1)
    record.seconds = round(time.perf_counter() - start, 2)
    note(bundle, record)
    with tempfile.TemporaryDirectory() as folder:
        path = bundle.save(Path(folder, "m.edge"))
        yield "run"
        record.error = max(worst_error(entry, model, path, seed) for seed in SEEDS)
        if record.error > AGREES:
            record.rounding = max(own_error(entry, model, seed) for seed in SEEDS)
        networks = len(bundle.networks)
        del model, bundle  # the builder needs the memory
        yield "build"
        start = time.perf_counter()
        if networks:
            add_engines(edge_trt.load(path), CompileOptions(target="rtx"))
            record.built = True
        record.build_seconds = round(time.perf_counter() - start, 2)


def note(bundle: Any, record: Record) -> None:
    """Writes down what partitioning decided."""
    coverage = bundle.coverage
    record.calls, record.flops = round(coverage["by_calls"], 4), round(coverage["by_flops"], 4)
    kinds = Counter(block["kind"] for block in coverage["blocks"])
    record.blocks, record.fallbacks = kinds["tensorrt"], kinds.total() - kinds["tensorrt"]
    record.reasons = dict(
        Counter(f"{refusal['op']}: {refusal['reason']}" for refusal in coverage["refusals"])
    )
    record.layers = sum(
        len(part.network.nodes) for part in bundle.parts if part.network is not None
    )


def worst_error(entry: Entry, model: torch.nn.Module, path: Path, seed: int) -> float:
    """Largest relative error of the outputs of the session."""
    arguments = entry.arguments(1, seed)
    with edge_trt_runtime.load(path) as session:
        names = [spec.name for spec in session.signature.inputs]
        feeds = named(arguments, names)
        results = [torch.from_numpy(x.copy()) for x in session.run(feeds).values()]
    expected = entry.expect(model, arguments, results)
    if constant := [i for i, x in enumerate(expected) if hides_errors(x)]:
        raise ValueError(f"eager's output {constant[0]} is empty or one number, which hides errors")
    return entry.compare(results, expected)


def own_error(entry: Entry, model: torch.nn.Module, seed: int) -> float:
    """Largest relative error of eager's float32 against its float64: what rounding alone makes."""

    def wide(x: object) -> object:
        return x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x

    arguments = entry.arguments(1, seed)
    found = outputs(model, arguments)
    wider = copy.deepcopy(model).double()
    exact = entry.expect(wider, pytree.tree_map(wide, arguments), found)
    return entry.compare([x.to(y.dtype) for x, y in zip(found, exact, strict=True)], exact)


def hides_errors(tensor: torch.Tensor) -> bool:
    """True when there is nothing, or several floats are all the same number."""
    if tensor.numel() < 2 or not tensor.is_floating_point():
        return tensor.numel() == 0
    return not bool(tensor.std() > 0)


def named(arguments: Arguments, names: list[str]) -> dict[str, Any]:
    """The arrays of some arguments by the names of a session's inputs."""
    if isinstance(arguments, Mapping):
        return {name: arguments[name].numpy() for name in names}
    tensors = [x for x in pytree.tree_leaves(arguments) if isinstance(x, torch.Tensor)]
    return {name: x.numpy() for name, x in zip(names, tensors, strict=True)}


def describe(arguments: Arguments) -> str:
    """The shapes of the tensors of some arguments."""
    tensors = [x for x in pytree.tree_leaves(arguments) if isinstance(x, torch.Tensor)]
    return ", ".join("x".join(map(str, tensor.shape)) for tensor in tensors)


def sentence(error: Exception) -> str:
    """The first line of an error, with its kind where it is none of ours."""
    text = next(iter(str(error).strip().splitlines()), "")
    ours = isinstance(error, edge_trt.EdgeTrtError | BuildError)
    return text if ours else f"{type(error).__name__}: {text}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        take(sys.argv[1], Path(scratch, "record"))
        print(Path(scratch, "record").read_text(encoding="utf-8"))
