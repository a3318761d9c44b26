# SPDX-License-Identifier: Apache-2.0
"""What the usual remedies for int8 would gain here: bias correction, equalization, migration.

    python tests/benchmarks/int8_gains.py build/accuracy [MODEL ...]

The folder holds the weights that accuracy_train.py left there. 512 images calibrate, 512 others are
judged: signal to quantization noise of the scores against those in fp32, and percent right.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

sys.path.insert(0, str(Path(__file__).parents[2]))

import edge_trt
from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layers import ElementWise, MatrixMultiply
from edge_trt.network.rewrite import Rewriter, rewrite
from edge_trt.options import CompileOptions
from edge_trt.precision.damage import Noise
from edge_trt.precision.int8 import with_twins
from edge_trt.precision.observed import ObservedModel, network_ranges, runner, with_networks
from edge_trt.precision.quantization import Quantization
from edge_trt_calibration import Ranges
from tests.benchmarks.accuracy import samples
from tests.benchmarks.accuracy_models import MODELS, Attention, Inverted
from tests.benchmarks.accuracy_task import CLASSES, SIDE, batch

IMAGES, LABELS = batch(0, 512)

Result = tuple[float, float]
"""dB, and percent right."""


def main() -> None:
    """Prints a row for each model and remedy."""
    folder, *names = sys.argv[1:]
    table = Table("model", "remedy", "dB", "percent right")
    for name in names or MODELS:
        for remedy, (decibels, right) in _rows(lambda n=name: trained(n, folder)):
            table.add_row(name, remedy, f"{decibels:.2f}", f"{right:.2f}")
            print(f"{name}, {remedy}: {decibels:.2f} dB, {right:.2f} %", file=sys.stderr)
    Console().print(table)


def trained(name: str, folder: str) -> nn.Module:
    """A model with its weights, in eval mode."""
    model = MODELS[name](CLASSES)
    state = torch.load(Path(folder, f"{name}.pt"), weights_only=True)
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return model.eval()


def _rows(make: Callable[[], nn.Module]) -> Iterator[tuple[str, Result]]:
    model = make()
    wanted = _scores(model)
    yield "none", judged(model, wanted)
    yield "bias correction", judged(model, wanted, correct=True)
    if any(isinstance(m, Inverted) for m in model.modules()):
        for by in ("weights", "activations"):
            changed = make()
            equalize(changed, by)
            yield f"equalization by {by}", judged(changed, wanted)
    if any(isinstance(m, Attention) for m in model.modules()):
        for strength in (0.25, 0.5, 0.75):
            changed = make()
            migrate(changed, strength)
            yield f"migration, {strength}", judged(changed, wanted)


def _scores(model: nn.Module) -> np.ndarray:
    with torch.inference_mode():
        return torch.cat([model(part) for part in IMAGES.split(64)]).numpy()


def judged(model: nn.Module, wanted: np.ndarray, *, correct: bool = False) -> Result:
    """Quantizes with the default method, and compares."""
    np.testing.assert_allclose(_scores(model), wanted, atol=1e-3)  # a remedy changes nothing yet
    image = edge_trt.Input(("b", 3, SIDE, SIDE), min=1, opt=32, max=64, name="image")
    bundle = edge_trt.compile(model, (image,))
    options = CompileOptions(precision="int8", calibration=samples)
    with tempfile.TemporaryDirectory() as folder:
        stage = Quantization(bundle, options, Path(folder))
        ranges = stage.calibrate(samples, lambda *_: None, lambda _: None)
        networks, _ = stage.networks(ranges)
        if correct:
            (network,) = networks.values()
            networks[network.name] = _shifted(network, shifts(stage, ranges))
        run = runner(with_networks(bundle, networks), {})
    found = [run({"image": part.numpy()})["output"] for part in IMAGES.split(32)]
    noise = Noise()
    noise.add(wanted, np.concatenate(found))
    right = (np.concatenate(found).argmax(1) == LABELS.numpy()).mean()
    return noise.decibels or float("inf"), 100 * float(right)


# -- bias correction -------------------------------------------------------------------------


def shifts(stage: Quantization, ranges: Ranges) -> dict[str, np.ndarray]:
    """How far quantization moves the mean of each channel, by the name of the layer's result."""
    (network,) = stage.bundle.networks
    sites = stage.sites[network.name]
    amax = network_ranges(ranges, network, many=False)
    twinned, twins = with_twins(network, sites, amax)
    kinds = {node.outputs[0].name: node for node in sites.weights}
    model = ObservedModel(
        with_networks(stage.bundle, {network.name: twinned}),
        {network.name: [*twins, *twins.values()]},
        {},
    )
    found: dict[str, np.ndarray] = {}
    for probe in stage.probes:
        seen = {n: a.copy() for group in model.observe(probe) for n, a in group.items()}
        for name, twin in twins.items():
            lost = seen[name] - seen[twin]
            axis = _channels(kinds[name], lost.ndim)
            mean = lost.mean(tuple(i for i in range(lost.ndim) if i != axis), keepdims=True)
            found[name] = found.get(name, np.float32(0)) + mean / len(stage.probes)
    return found


def _channels(node: Node, rank: int) -> int:
    return rank - 1 if isinstance(node.layer, MatrixMultiply) else 1


def _shifted(network: Network, found: Mapping[str, np.ndarray]) -> Network:
    def add(rewriter: Rewriter, node: Node) -> Sequence[Tensor] | None:
        name = node.outputs[0].name
        if name not in found:
            return None
        (result,) = rewriter.copy(node)
        shift = rewriter.constant(found[name].astype(np.float32), f"{name}.shift")
        moved = rewriter.insert(
            ElementWise("SUM"), result, shift, name=f"{name}.moved", origin=node.origin
        )
        return (moved,)

    return rewrite(network, add)


# -- equalization and migration --------------------------------------------------------------


class Limited(nn.Module):
    """ReLU6 of channels that were divided by `factors`."""

    def __init__(self, factors: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("limit", (6 / factors).reshape(1, -1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.minimum(x.relu(), self.limit)


@torch.no_grad()
def equalize(model: nn.Module, by: str) -> None:
    """Balances each channel between the convolutions of a block, by weights or what flows."""
    for block in [m for m in model.modules() if isinstance(m, Inverted)]:
        body = block.body
        for i in (0, 3, 6):
            body[i], body[i + 1] = fuse_conv_bn_eval(body[i], body[i + 1]), nn.Identity()
    largest = _largest(model, lambda m: isinstance(m, nn.Conv2d))
    for block in [m for m in model.modules() if isinstance(m, Inverted)]:
        body = block.body
        for i in (0, 3):
            first, second = body[i], body[i + 3]
            depthwise = second.groups > 1
            reads = second.weight.abs().amax((1, 2, 3) if depthwise else (0, 2, 3)).clamp_min(1e-6)
            if by == "weights":
                factors = (first.weight.abs().amax((1, 2, 3)).clamp_min(1e-6) / reads).sqrt()
            else:
                flows = largest[second].clamp_min(1e-3 * largest[second].max())
                # Weights of a depthwise convolution have a scale of their own for each channel.
                factors = flows / flows.max() if depthwise else (flows / reads).sqrt()
            first.weight /= factors.reshape(-1, 1, 1, 1)
            first.bias /= factors
            second.weight *= factors.reshape((-1, 1, 1, 1) if depthwise else (1, -1, 1, 1))
            body[i + 2] = Limited(factors)


@torch.no_grad()
def migrate(model: nn.Module, strength: float) -> None:
    """Moves large channels from a layer norm's result into the weights that read it."""
    largest = _largest(model, lambda m: isinstance(m, nn.Linear))
    for block in [m for m in model.modules() if isinstance(m, Attention)]:
        for norm, linear in ((block.norm1, block.qkv), (block.norm2, block.mlp[0])):
            reads = linear.weight.abs().amax(0).clamp_min(1e-6)
            factors = largest[linear].clamp_min(1e-6) ** strength / reads ** (1 - strength)
            norm.weight /= factors
            norm.bias /= factors
            linear.weight *= factors


@torch.no_grad()
def _largest(
    model: nn.Module, wanted: Callable[[nn.Module], bool]
) -> dict[nn.Module, torch.Tensor]:
    """The largest magnitude of each channel that a layer reads, over the calibration data."""
    found: dict[nn.Module, torch.Tensor] = {}

    def see(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        (x,) = inputs
        axis = 1 if isinstance(module, nn.Conv2d) else x.ndim - 1
        peak = x.abs().amax(tuple(i for i in range(x.ndim) if i != axis))
        found[module] = torch.maximum(found.get(module, peak), peak)

    hooks = [m.register_forward_pre_hook(see) for m in model.modules() if wanted(m)]
    for images in samples():
        model(torch.from_numpy(images))
    for hook in hooks:
        hook.remove()
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
