# SPDX-License-Identifier: Apache-2.0
"""Quantizes a compiled model: from data to ranges, from ranges to networks, and what it costs.

ranges = quantize(bundle, Data(samples), eager, step)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from edge_trt.engines.onnx.observer import Group
from edge_trt.network.graph import Network, Node
from edge_trt.option_checks import needs_data
from edge_trt.precision.account import Account
from edge_trt.precision.best import FIRST, pick
from edge_trt.precision.damage import Damage, measure
from edge_trt.precision.exceptions import exact_name, exceptions
from edge_trt.precision.given import Data, load_data
from edge_trt.precision.guarded import guarded, running
from edge_trt.precision.int8 import to_int8, with_twins
from edge_trt.precision.kept import Interruption, Kept, keeping
from edge_trt.precision.metric import RunFeed
from edge_trt.precision.observed import (
    ObservedModel,
    check_ranges,
    digest,
    fallback_executors,
    input_specs,
    network_ranges,
    shown,
    usual_samples,
    with_networks,
)
from edge_trt.precision.range_names import key
from edge_trt.precision.sharing import share
from edge_trt.precision.sites import Sites, find_sites
from edge_trt_calibration import CalibrationError, Feeds, Ranges, collect
from edge_trt_calibration.collect import SAMPLES, Convergence, empty, read_out
from edge_trt_calibration.collect import Keep as Keeps
from edge_trt_calibration.ranges import listed
from edge_trt_calibration.samples import Samples

if TYPE_CHECKING:
    from edge_trt.bundle.bundle import Bundle
    from edge_trt.options import CompileOptions

PROBES = 16
"""Batches on which the noise of layers and the latency are measured."""

Step = Callable[[float, str], None]


class Quantization:
    """The stages of quantizing one bundle, which stays as it is.

    Args:
        bundle: a model in fp32.
        options: what it is compiled with.
        folder: an empty folder, for the programs of fallbacks.
    """

    def __init__(self, bundle: Bundle, options: CompileOptions, folder: Path) -> None:
        self.bundle = bundle
        self.options = options
        self.dense = options.dense
        # Weights are quantized once, for however many choices of ranges and layers.
        self._rewriting: Any = {"weights": options.int8_weights, "dense": self.dense, "known": {}}
        self._keep = exceptions(bundle.networks, options)
        self.sites = {n.name: find_sites(n, self._keep, dense=self.dense) for n in bundle.networks}
        self.fallbacks = fallback_executors(bundle, folder)
        self.model = ObservedModel(bundle, shown(self.sites), self.fallbacks)
        self.inputs = input_specs(bundle.signature, self.model.most_rows, bundle.states)
        self.probes: list[Group] = []

    def calibrate(
        self,
        data: Any,
        step: Step,
        remark: Callable[[str], None],
        keep: str | Path | None = None,
        cluster: str | None = None,
    ) -> Ranges:
        """One pass over the data; the first batches are kept as probes, if it runs here.

        With a file to keep the ranges in, they are there whatever ends the pass.
        """
        kept = Kept(keep, self.groups(), remark)
        with Interruption(enabled=keep is not None) as wish:

            def watched(done: float, note: str) -> None:
                wish.check()
                step(done, note)

            def keeps(ranges: Ranges, stop: BaseException) -> None:
                wish.writing()
                kept(ranges, stop)

            if cluster is None:
                ranges = self._collected(data, watched, remark, keeps)
            else:
                ranges = self._collected_on(cluster, data, watched, remark, keeps)
            wish.writing()
            kept.save(ranges)
            wish.check()
        return ranges.grouped(self.groups())

    def _collected(
        self, data: Any, step: Step, remark: Callable[[str], None], keep: Keeps
    ) -> Ranges:
        asked = self.options.samples
        most = asked or SAMPLES
        method = self.options.calibration_method or FIRST
        part = 0.5 if method == "best" else 1.0

        def progress(count: int, last: Convergence | None) -> None:
            step(part * count / most, read_out(count, last))

        feeds = self.feeds(data)
        ranges = collect(
            running(self.model.observe, lambda: feeds.number),
            _Remembered(feeds, self.probes),
            model=digest(self.bundle),
            method=FIRST if method == "best" else method,
            samples=most,
            early=asked is None,
            progress=progress,
            remark=remark,
            pixels=[spec.name for spec in self.inputs if spec.pixels],
            states=list(self.bundle.states),
            keep=keep,
        )
        _remark_on_dropped(feeds, remark)
        if method != "best":
            return ranges
        try:
            return pick(self, ranges, lambda done, note: step(part + (1 - part) * done, note))
        except BaseException as stop:
            keep(ranges, stop)
            raise

    def _collected_on(
        self, cluster: str, data: Any, step: Step, remark: Callable[[str], None], keep: Keeps
    ) -> Ranges:
        from edge_trt.precision.cluster import collect_on

        most, feeds = self.options.samples or SAMPLES, self.feeds(data)
        pixels = [spec.name for spec in self.inputs if spec.pixels]
        ranges = collect_on(
            cluster,
            self.bundle,
            shown(self.sites),
            feeds,
            Samples(pixels=pixels, states=list(self.bundle.states)),
            method=self.options.calibration_method or FIRST,
            samples=most,
            progress=lambda count: step(count / most, f"{count} samples"),
            remark=remark,
            keep=keep,
        )
        _remark_on_dropped(feeds, remark)
        return ranges

    def ranges_of(
        self, data: Data, step: Step, remark: Callable[[str], None], keep: Path | None = None
    ) -> Ranges:
        """The ranges that were given, under the method that was asked for, or those of the data.

        Raises:
            CalibrationError: the data or the ranges don't fit, or the method needs what they lack.
        """
        if data.ranges is None and data.samples is None:
            return self._nothing()
        if data.ranges is None:
            return self.calibrate(data.samples, step, remark, keep)
        ranges, method = data.ranges, self.options.calibration_method
        check_ranges(ranges, self.bundle, self.sites)
        if data.samples is not None:
            self.probe(data.samples)
        if method == "best" and not self.probes and ranges.method != method:
            raise CalibrationError(
                "the method best runs the quantized model, and there are ranges alone",
                hint="add --calibration DATA, or choose another method, such as mse",
            )
        if method == "best" and ranges.method != method:
            ranges = pick(self, ranges.with_method(FIRST), step)
        elif method not in (None, ranges.method):
            ranges = ranges.with_method(method)
        return ranges.grouped(self.groups())

    def _nothing(self) -> Ranges:
        """The ranges of a model that another tool quantized as a whole: none."""
        if any(found.tensors for found in self.sites.values()):
            raise needs_data()
        method = self.options.calibration_method or FIRST
        return Ranges(digest(self.bundle), method)

    def why_none(self) -> str | None:
        """Why no layer is in int8; None if there is one."""
        if any(found.weights or found.elsewhere for found in self.sites.values()):
            return None
        reasons = [
            (n.name, why) for found in self.sites.values() for n, why in found.reasons.items()
        ]
        if not reasons:
            return "TensorRT runs none with weights"
        name, why = reasons[0]
        return f"{name} ({why})" + (f" and {len(reasons) - 1} more" if len(reasons) > 1 else "")

    def doubts(self) -> list[str]:
        """What the user may not have meant, a sentence each."""
        why = self.why_none()
        found = [f"no layer of this model is in int8: {why}"] if why else []
        stay = [
            exact_name(network, node)
            for network in self.bundle.networks
            for node in self.sites[network.name].elsewhere
            if "int8_except" in (self._keep(node) or "")
        ]
        if stay:
            names = listed(stay)
            found.append(f"int8_except has no effect on {names}: the model itself quantizes that")
        return found

    def groups(self) -> list[list[str]]:
        """Names of the tensors that have one scale, group by group."""
        many = len(self.sites) > 1
        found: list[list[str]] = []
        for network in self.bundle.networks:
            tensors = self.sites[network.name].tensors
            found += [
                [key(network.name, t.name, many=many) for t in tensors if t in group]
                for group in share(network, tensors, dense=self.dense)
            ]
        return found

    def feeds(self, data: Any) -> Feeds:
        """Batches of the data, with no more samples than were asked for, or than are usual."""
        limit = self.options.samples or usual_samples(self.inputs)
        return Feeds(guarded(data), self.inputs, limit=limit)

    def probe(self, data: Any) -> None:
        """Keeps the first batches of data whose ranges are known already, and tries them.

        Raises:
            CalibrationError: there are none, or the model can't run one; the text names it.
        """
        feeds = self.feeds(data)
        run = running(self.model.observe, lambda: feeds.number)
        for _, feed in zip(range(PROBES), _Remembered(feeds, self.probes)):  # noqa: B905
            for _ in run(feed):
                pass
        if not self.probes:
            raise empty()

    def without(self, excluded: Collection[str]) -> Quantization:
        """The same with further layers that are not to be in int8, by `exact_name`."""
        changed = copy.copy(self)
        changed.sites = {n.name: self._sites_without(n, excluded) for n in self.bundle.networks}
        return changed

    def networks(self, ranges: Ranges) -> tuple[dict[str, Network], list[dict[str, str]]]:
        """The networks in int8 by name, and the weighted layers that are not, as report rows."""
        found: dict[str, Network] = {}
        rows: list[dict[str, str]] = []
        for network in self.bundle.networks:
            sites = self.sites[network.name]
            amax = network_ranges(ranges, network, many=len(self.sites) > 1)
            found[network.name], kept = to_int8(network, sites, amax, **self._rewriting)
            rows += [k.as_dict() for k in kept]
        return found, rows

    def _sites_without(self, network: Network, excluded: Collection[str]) -> Sites:
        def keep(node: Node) -> str | None:
            tuned = exact_name(network, node) in excluded
            return "left out so that the metric holds" if tuned else self._keep(node)

        return find_sites(network, keep, dense=self.dense)

    def damage(self, ranges: Ranges, quantized: Bundle) -> Damage:
        """The noise of layers and outputs over the probes."""
        many = len(self.sites) > 1
        twins: dict[str, str] = {}
        names: dict[str, list[str]] = {}
        results: dict[str, list[str]] = {}
        networks: dict[str, Network] = {}
        for network in self.bundle.networks:
            amax = network_ranges(ranges, network, many=many)
            networks[network.name], pairs = with_twins(
                network, self.sites[network.name], amax, **self._rewriting
            )
            results[network.name] = [*pairs]
            names[network.name] = [*pairs, *pairs.values()]
            twins |= {
                key(network.name, a, many=many): key(network.name, b, many=many)
                for a, b in pairs.items()
            }
        exact = ObservedModel(with_networks(self.bundle, networks), names, self.fallbacks)
        int8 = ObservedModel(quantized, results, self.fallbacks)
        return measure(exact, int8, twins, self.probes)


def quantize(
    bundle: Bundle,
    data: Data,
    eager: RunFeed | None = None,
    step: Step | None = None,
    remark: Callable[[str], None] | None = None,
    keep: Path | None = None,
) -> list[Group]:
    """Puts networks in int8 into a bundle, with the ranges, the exceptions and an account.

    Args:
        bundle: a model in fp32, whose options say how.
        data: samples or ranges, and a metric.
        eager: the model itself, to be compared with.
        step: told how far it is.
        remark: told what makes the ranges doubtful.
        keep: a file for the ranges that were measured, in case that something fails.

    Returns:
        Some batches of the data, if there was any.

    Raises:
        CalibrationError: the data or the ranges don't fit.
        OptionError: a pattern matches nothing.
        EdgeTrtError: something failed afterwards; without a file to keep them in it has the ranges.
    """
    step = step or (lambda fraction, note: None)
    remark = remark or (lambda sentence: None)
    with TemporaryDirectory(prefix="edge_trt-") as folder:
        stage = Quantization(bundle, bundle.options, Path(folder))
        ranges = stage.ranges_of(data, step, remark, keep)
        measured = data.ranges is None and data.samples is not None
        with keeping(ranges if measured else None, keep):
            networks, kept = stage.networks(ranges)
            quantized = with_networks(bundle, networks)
            account = Account(stage, ranges, quantized).as_dict(data.metric, eager)
    for sentence in stage.doubts():
        remark(sentence)
    bundle.parts, bundle.kept = quantized.parts, kept
    bundle.ranges, bundle.quantization = ranges, account
    return stage.probes


def measured_ranges(
    bundle: Bundle,
    options: CompileOptions,
    cluster: str | None,
    remark: Callable[[str], None],
    keep: str | Path | None,
    step: Step,
) -> Ranges:
    """Calibrates without quantizing.

    Args:
        bundle: a model in fp32, with whatever options.
        options: the data, and how.
        cluster: address of a Dask scheduler whose workers run the model, or None.
        remark: as for `quantize`.
        keep: a file for the ranges, whatever ends the pass.
        step: as for `quantize`.

    Raises:
        CalibrationError: the data does not fit, or there is none.
    """
    data = load_data(options, bundle.signature, remark)
    if data.samples is None:
        raise CalibrationError("there is no data to calibrate with", hint="add --calibration DATA")
    with TemporaryDirectory(prefix="edge_trt-") as folder:
        stage = Quantization(bundle, options, Path(folder))
        for sentence in stage.doubts():
            remark(sentence)
        return stage.calibrate(data.samples, step, remark, keep, cluster)


def _remark_on_dropped(feeds: Feeds, remark: Callable[[str], None]) -> None:
    if feeds.dropped:
        remark(f"{feeds.dropped} samples that made no whole batch were left out")


class _Remembered:
    """Batches, of which the first ones are kept."""

    def __init__(self, feeds: Feeds, probes: list[Group]) -> None:
        self._feeds = feeds
        self._probes = probes

    def __iter__(self) -> Iterator[Group]:
        again = bool(self._probes)  # a second pass shows the same
        for feed in self._feeds:
            if len(self._probes) < PROBES and not again:
                self._probes.append(feed)
            yield feed
