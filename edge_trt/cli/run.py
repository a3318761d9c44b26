# SPDX-License-Identifier: Apache-2.0
"""``edge_trt run``: run a bundle on files, and show what comes out.

FILE is a .npy array, a .npz archive with an array for every input, or an image. The name may be
left out if the model has one input. Several images for one input become its batch. An image is
scaled and cut at the centre to the input's height and width; pixels are normalised as the bundle
says, or else divided by 255 for floating-point inputs.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

TOP = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("bundle", help="directory that `edge_trt build` wrote")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="an input (repeat it for each)",
    )
    parser.add_argument("--output", metavar="FILE", help="write the outputs to a .npz file")
    parser.add_argument(
        "--device", default="auto", help="auto (default), cpu, or a GPU such as cuda:0"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of a run")


def run(arguments: argparse.Namespace) -> int:
    """Load, run once, print."""
    from edge_trt.cli.console import print_table
    from edge_trt.cli.files import read_inputs
    from edge_trt_runtime.opening import load

    with load(arguments.bundle, device=arguments.device, threads=arguments.threads) as session:
        inputs = read_inputs(session.signature, arguments.input)
        start = time.perf_counter()
        outputs = session.run(inputs)
        elapsed = (time.perf_counter() - start) * 1e3
    rows = [
        (name, array.dtype, list(array.shape), *_range(array)) for name, array in outputs.items()
    ]
    title = f"Outputs (one run, not warmed up: {elapsed:.1f} ms)"
    print_table(title, ["output", "type", "shape", "#min", "#mean", "#max"], rows)
    for name, array in outputs.items():
        if looks_like_scores(array):
            _print_top(name, array)
    if arguments.output:
        _write(arguments.output, outputs)
    return 0


def looks_like_scores(array: np.ndarray) -> bool:
    """Whether an output can be scores of classes: [batch, classes] of floating-point numbers."""
    return array.ndim == 2 and array.dtype.kind == "f" and array.shape[1] >= 2


def _print_top(name: str, array: np.ndarray) -> None:
    from edge_trt.cli.console import print_table

    count = min(TOP, array.shape[1])
    rows: list[tuple[object, ...]] = []
    for index, scores in enumerate(array):
        best = scores.argsort(kind="stable")[::-1][:count]
        rows += [(index, rank + 1, c, f"{scores[c]:.4g}") for rank, c in enumerate(best)]
    print_table(f"Highest of {name}", ["#sample", "#rank", "#index", "#value"], rows)


def _range(array: np.ndarray) -> tuple[str, str, str]:
    if array.size == 0 or array.dtype.kind not in "fiu":
        return "", "", ""
    wide = array.astype("float64")
    return f"{wide.min():.4g}", f"{wide.mean():.4g}", f"{wide.max():.4g}"


def _write(path: str, outputs: dict[str, np.ndarray]) -> None:
    import numpy as np

    with open(path, "wb") as file:  # a file object: numpy would add .npz to another ending
        np.savez(file, **outputs)  # type: ignore[arg-type]
    print(f"wrote {path}")
