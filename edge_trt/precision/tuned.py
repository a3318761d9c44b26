# SPDX-License-Identifier: Apache-2.0
"""A tuned bundle: the search of `tuning.py`, with files around it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from edge_trt.errors import OptionError
from edge_trt.precision.account import Account
from edge_trt.precision.given import load_data
from edge_trt.precision.identity import identity
from edge_trt.precision.metric import name_of
from edge_trt.precision.observed import runner, with_networks
from edge_trt.precision.quantization import Quantization
from edge_trt.precision.resumed import resumed_ranges
from edge_trt.precision.tuning import Record, Step, Trial, Tuner

if TYPE_CHECKING:
    from edge_trt.bundle.bundle import Bundle
    from edge_trt.options import CompileOptions
    from edge_trt_calibration import Ranges


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search found.

    Attributes:
        baseline: the metric of fp32.
        trials: every choice that was judged, the one with most layers in int8 first.
        best: the choice that was saved.
        holds: whether it meets what was asked.
    """

    baseline: float
    trials: Sequence[Trial]
    best: Trial
    holds: bool


def tuned(
    bundle: Bundle,
    options: CompileOptions,
    drop: float,
    output: str | Path,
    finish: Callable[[Bundle], None],
    remark: Callable[[str], None],
    step: Step,
) -> Tuned:
    """Searches, and has each better bundle finished.

    Args:
        bundle: a model in fp32.
        options: data, metric and how to quantize.
        drop: how much smaller than that of fp32 the metric may be.
        output: where the bundle is going to be; record and ranges lie beside it.
        finish: builds engines and saves.
        remark: told what makes the ranges doubtful.
        step: told how far it is.

    Raises:
        OptionError: there is no metric, or the drop is no number from 0 on.
        CalibrationError: the data does not fit the model.
    """
    data = load_data(options, bundle.signature, remark)
    if data.metric is None:
        raise OptionError(
            "tuning needs a metric", option="metric", hint="add --metric FILE.py:FUNCTION"
        )
    if not 0 <= drop < float("inf"):
        raise OptionError(f"a drop of {drop} can't be held", option="drop", hint="say 0.5")
    with TemporaryDirectory(prefix="edge_trt-") as folder:
        stage = Quantization(bundle, options, Path(folder))
        kept = Path(f"{output}.tune.ranges.json")
        ranges = resumed_ranges(stage, data, kept, lambda f, n: step(f * 0.2, n), remark)
        record = Record.open(
            Path(f"{output}.tune.json"), _belongs(bundle, ranges, options, data.metric)
        )
        tuner = Tuner(stage, ranges, data.metric, record)
        best: list[Trial] = []

        def improved(trial: Trial) -> None:
            finish(_bundle(tuner, trial, options, ranges))
            best.append(trial)

        base, trials = tuner.search(drop, lambda f, n: step(0.2 + f * 0.8, n), improved)
    return Tuned(base, trials, best[-1], best[-1].metric >= base - drop)


def _belongs(bundle: Bundle, ranges: Ranges, options: CompileOptions, metric: object) -> str:
    """Tells whether measurements are of this model, these ranges and this metric."""
    state = hashlib.blake2b(digest_size=16)
    state.update("".join(map(str, bundle.networks)).encode())
    state.update(f"{ranges.model} {ranges.method} {ranges.source} {options.dense}".encode())
    state.update(repr(sorted((n, r.amax) for n, r in ranges.tensors.items())).encode())
    state.update(repr((options.int8_except, options.fp32_layers, options.int8_weights)).encode())
    state.update(identity(metric).encode())  # an edited function is another one
    return state.hexdigest()


def _bundle(tuner: Tuner, trial: Trial, options: CompileOptions, ranges: Ranges) -> Bundle:
    """The model as a trial says, complete but for its engines."""
    stage = tuner.stage.without(trial.excluded)
    networks, kept = stage.networks(ranges)
    found = with_networks(stage.bundle, networks)
    account = Account(stage, ranges, found).as_dict(None, None)
    account["metric"] = {
        "name": name_of(tuner.metric), "fp32": tuner.baseline(), "int8": trial.metric,
    }  # fmt: skip
    names = (*options.int8_except, *trial.excluded)
    return replace(
        found,
        options=replace(options, int8_except=tuple(names)),
        kept=kept,
        ranges=ranges,
        quantization=account,
        vectors=_vectors(stage, options.self_test),
        source=None,
        path=None,
    )


def _vectors(stage: Quantization, count: int) -> Mapping[str, np.ndarray]:
    """Samples with the answers of fp32, as a bundle that is tuned may come without the model."""
    arrays: dict[str, np.ndarray] = {}
    run = runner(stage.bundle, stage.fallbacks)
    for case, probe in enumerate(stage.probes[:count]):
        arrays |= {f"{case}/in/{name}": array for name, array in probe.items()}
        arrays |= {f"{case}/out/{name}": array for name, array in run(probe).items()}
    return arrays
