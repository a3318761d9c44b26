# SPDX-License-Identifier: Apache-2.0
"""The compiler, readable from top to bottom: `compile` names every stage in order.

Stages are functions of other modules; `Stages` times them and tells the progress bar. torch is
imported by `compile` and not by importing this module, so that opening a bundle needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from edge_trt.bundle.bundle import Bundle, Part
from edge_trt.early_checks import check_data, check_dla, check_files, checked
from edge_trt.engines.kept_plans import KeptPlans
from edge_trt.engines.plans import build_plans
from edge_trt.option_checks import DLA, INT8, needs_data
from edge_trt.options import CompileOptions
from edge_trt.placement.build import foresee, placed_for_more, placed_here, start
from edge_trt.precision import Patterns, to_fp16
from edge_trt.precision.kept import keeping, measured
from edge_trt.stages import Progress, Stages, Step
from edge_trt.warning import EdgeTrtWarning, warn
from edge_trt_calibration.errors import CalibrationError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import fx

    from edge_trt.capture import Captured
    from edge_trt.fallback import Fallback
    from edge_trt.partitioning import Coverage, Partition
    from edge_trt.precision.tuned import Tuned
    from edge_trt_calibration import Ranges

__all__ = [
    "Bundle",
    "EdgeTrtWarning",
    "add_engines",
    "calibrate",
    "compile",
    "compile_networks",
    "tune",
]


def compile(
    model: object, inputs: Any = None, *, progress: Progress | None = None, **options: Any
) -> Bundle:
    """Compiles a model into a bundle, in memory; `Bundle.save` writes it.

    Args:
        model: an `nn.Module`, an `ExportedProgram`, or a text: the path of a `.pt2` file,
            `file.py:factory`, `package.module:factory`, `timm:name`, `torchvision:name`.
        inputs: example arguments, as a tuple, as a mapping for keyword arguments, or one tensor;
            `edge_trt.Input` in the place of a tensor gives a range of sizes.
        progress: called with (stage, fraction of it from 0 to 1, note); what it raises ends the
            build.
        **options: fields of `CompileOptions`.

    Raises:
        CaptureError: the model can't be loaded or exported.
        UnsupportedError: something would fall back, and `fallback="forbid"`; or a fallback can't
            be saved.
        ConversionError: a converter is wrong.
        BuildError: TensorRT refuses a network.
        OptionError: an option or a target is unknown, without effect, or of a later version.
        EdgeTrtError: any of these; after the calibration its attribute `ranges` holds the ranges.
    """
    chosen = CompileOptions.of(options)
    stages = Stages(progress)
    bundle = compile_networks(model, inputs, chosen, stages)
    if not chosen.dryrun:
        with keeping(measured(bundle), None):
            stages.run("engines", _build_engines, bundle, chosen, None, on_step=True)
        bundle.vectors = dict(bundle.vectors)  # waits for them
        for sentence in (*bundle.remarks, *filter(None, [bundle.missing.get("cuda")])):
            warn(sentence)
    return bundle


def calibrate(
    model: object,
    inputs: Any = None,
    *,
    dask: str | None = None,
    keep: str | Path | None = None,
    options: CompileOptions | None = None,
    progress: Progress | None = None,
    **keywords: Any,
) -> Ranges:
    """Measures the ranges that int8 needs, for `compile(..., ranges=...)`.

    Args:
        model: as for `compile`, or a `Bundle` in fp32.
        inputs: as for `compile`.
        dask: address of a Dask scheduler, whose workers then run the model.
        keep: a file for the ranges. Ctrl-C, SIGTERM or data that fails ends the pass, and those of
            the batches before are in it.
        options: how; otherwise made of the keywords, as for `compile`.
        progress: as for `compile`.
        **keywords: fields of `CompileOptions`, `calibration` above all.

    Raises:
        CalibrationError: the data does not fit the model, or is empty.
        EdgeTrtError: as `compile`.
    """
    from edge_trt.precision.quantization import measured_ranges

    chosen = options or CompileOptions.of({"precision": "int8", **keywords})
    stages = Stages(progress)
    bundle = _in_fp32(model, inputs, chosen, stages)
    given = (bundle, chosen, dask, warn, keep)
    return stages.run("calibration", measured_ranges, *given, on_step=True)


def tune(
    model: object,
    inputs: Any,
    output: str | Path,
    *,
    drop: float,
    options: CompileOptions | None = None,
    progress: Progress | None = None,
    **keywords: Any,
) -> Tuned:
    """Leaves so many layers out of int8 that a metric falls by no more than asked.

    The best bundle found so far is always in `output`. What was measured is kept beside it, in a
    file with the ending `.tune.json`, so that an interrupted search goes on where it was.

    Args:
        model: as for `compile`, or a `Bundle` in fp32.
        inputs: as for `compile`.
        output: where the bundle is written.
        drop: how much smaller than that of fp32 the metric may be.
        options: how; otherwise made of the keywords. They name data and a metric.
        progress: as for `compile`.
        **keywords: fields of `CompileOptions`.

    Raises:
        CalibrationError: the data does not fit the model, or there is none.
        EdgeTrtError: as `compile`, and when the metric fails.
    """
    from edge_trt.precision.tuned import tuned

    chosen = options or CompileOptions.of({"precision": "int8", **keywords})
    stages = Stages(progress)
    bundle = _in_fp32(model, inputs, chosen, stages)

    def finish(better: Bundle) -> None:
        with placed_for_more(better, chosen):
            _build_engines(better, chosen, None, lambda fraction, note: None)
        better.save(output)

    return stages.run("tuning", tuned, bundle, chosen, drop, output, finish, warn, on_step=True)


def _in_fp32(model: object, inputs: Any, options: CompileOptions, stages: Stages) -> Bundle:
    """What int8 is made of: a bundle as it is given, or the model compiled as far as networks."""
    if options.calibration is None and options.ranges is None:
        raise needs_data()
    check_files(options)
    if not isinstance(model, Bundle):
        default = CompileOptions()
        names = ("precision", "fp32_layers", "metric", *INT8)
        plain = {name: getattr(default, name) for name in (*names, *DLA)} | {"self_test": 0}
        check_dla(options, options.precision)
        bundle = compile_networks(model, inputs, replace(options, **plain), stages)
        if options.places_dla:  # ranges are those of the tensors that the rewritten layers have
            stages.run("placement", start, bundle, options)
        return bundle
    if model.options.precision != "fp32":
        raise CalibrationError(
            f"the bundle is in {model.options.precision}, and ranges are measured in fp32",
            hint="build it with --precision fp32, or give the model itself",
        )
    return model


def compile_networks(
    model: object,
    inputs: Any,
    options: CompileOptions,
    stages: Stages,
    keep: Path | None = None,
) -> Bundle:
    """The stages of `compile` that need torch: a bundle without plans, with `dryrun` a report.

    Args:
        model: as for `compile`, like `inputs`.
        inputs: example arguments.
        options: what to compile.
        stages: runs and times the stages.
        keep: a file for the ranges of int8, in case that something fails after the calibration.

    Raises:
        EdgeTrtError: as `compile`, except for what TensorRT's builder refuses.
    """
    from edge_trt.capture import capture
    from edge_trt.conversion.registry import load_plugins
    from edge_trt.lowering.self_test import record, record_samples

    chosen = checked(options, model)
    check_files(options)
    load_plugins()  # first: a saved program can't be read where its operators are not declared
    captured = stages.run("capture", capture, model, inputs, chosen)
    check_data(captured, chosen)
    graph = stages.run("lowering", _lower, captured)
    partition, coverage = stages.run("partitioning", _partition, graph, chosen)
    fallbacks = stages.run("fallback", _save_fallbacks, partition, captured, chosen.fallback)
    coverage = _with_runners(coverage, fallbacks)
    told = {**coverage.as_dict(), "notes": _notes(graph)}
    bundle = Bundle(captured.name, captured.signature, chosen, told, stages.seconds)
    if chosen.dryrun:
        if chosen.places_dla:
            bundle.parts = stages.run("conversion", _convert, partition, captured, fallbacks)
            bundle.placement = stages.run("placement", foresee, bundle, _set_precision)
        return bundle
    # Runs the model while networks are made and written: nothing traces from here on.
    if chosen.precision != "int8" and chosen.self_test:
        bundle.vectors = stages.start("self-test", record, captured, chosen.self_test)
    bundle.parts = stages.run("conversion", _convert, partition, captured, fallbacks)
    placement = stages.run("placement", start, bundle, chosen) if chosen.places_dla else None
    bundle.results = dict(zip(captured.output_names, partition.results, strict=True))
    bundle.states = {name: state.numpy() for name, state in captured.states.items()}
    if chosen.precision == "int8":
        samples = stages.run("calibration", _quantize, bundle, captured, keep, on_step=True)
        with keeping(measured(bundle), keep):
            count = chosen.self_test
            bundle.vectors = stages.run("self-test", record_samples, captured, samples, count)
    stages.run("precision", _set_precision, bundle)
    if placement is not None:
        bundle.placement = stages.run("placement", placement.place, bundle.networks, bundle.ranges)
    return bundle


def add_engines(
    bundle: Bundle,
    options: CompileOptions,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> None:
    """Adds engines for more targets to a bundle that was loaded; torch is not needed.

    Args:
        bundle: a bundle, usually from `edge_trt.load`; save it afterwards.
        options: the targets to add, and settings of the builder: those of the bundle where these
            are None. What shaped the networks (precision, fallback) stays as it was.
        progress: as for `compile`.
        folder: where plans are written while they are built; it must outlive `Bundle.save`, which
            takes them from there. Without one they are in memory until then. Of a bundle that was
            loaded, plans that an interrupted call left there are not built again.

    Raises:
        BuildError: TensorRT refuses a network; the bundle is then as it was.
    """
    before = bundle.options
    level = options.optimization_level
    builder: dict[str, Any] = {
        "workspace": before.workspace if options.workspace is None else options.workspace,
        "optimization_level": before.optimization_level if level is None else level,
        "weight_streaming": before.weight_streaming or options.weight_streaming,
    }
    options = replace(options, **builder)
    stages = Stages(progress)
    check_dla(options, bundle.options.precision)
    with placed_for_more(bundle, options):
        stages.run("engines", _build_engines, bundle, options, folder, on_step=True)
    bundle.seconds["engines"] = bundle.seconds.get("engines", 0.0) + stages.seconds["engines"]
    bundle.options = replace(before, target=(*before.targets, *options.targets), **builder)
    bundle.path = None


def _lower(captured: Captured) -> fx.GraphModule:
    from edge_trt.conversion.registry import support
    from edge_trt.lowering import lower

    return lower(captured.program, supported=support)


def _notes(graph: fx.GraphModule) -> list[str]:
    from edge_trt.lowering.decompose_unsupported import notes_of

    notes = notes_of(graph)
    for sentence in notes:
        warn(sentence)
    return notes


def _partition(graph: fx.GraphModule, options: CompileOptions) -> tuple[Partition, Coverage]:
    from edge_trt.partitioning import cut, forbid, refusals, summarize

    operators, modules = _names(options.fallback_ops), _names(options.fallback_modules)
    refused = refusals(graph.graph, operators, modules)
    # What is forbidden is what TensorRT can't take, not what would be cheaper elsewhere.
    least = options.min_block_size or (1 if options.fallback == "forbid" else None)
    partition, reasons = cut(graph, refused, least)
    coverage = summarize(partition, reasons)
    if options.fallback == "forbid":
        forbid(coverage)
    if not any(block.kind == "tensorrt" for block in partition.blocks):
        first = f"; first reason: {coverage.refusals[0]}" if coverage.refusals else ""
        warn(f"TensorRT runs nothing of this model{first}")
    return partition, coverage


def _save_fallbacks(
    partition: Partition, captured: Captured, choice: str
) -> Mapping[str, Fallback]:
    if all(block.kind == "tensorrt" for block in partition.blocks):
        return {}
    from edge_trt.fallback import save_fallbacks

    return save_fallbacks(partition, captured, choice)


def _with_runners(coverage: Coverage, fallbacks: Mapping[str, Fallback]) -> Coverage:
    from edge_trt.partitioning import with_runners

    return with_runners(coverage, {name: (f.runner, f.why) for name, f in fallbacks.items()})


def _convert(
    partition: Partition, captured: Captured, fallbacks: Mapping[str, Fallback]
) -> list[Part]:
    from edge_trt.conversion.driver import convert
    from edge_trt.partitioning.values import describe

    parts: list[Part] = []
    for block in partition.blocks:
        part = Part(block.name, block.inputs, block.outputs, describe(block, captured.symbols))
        if block.kind == "tensorrt":
            part.network = convert(
                block.module,
                block.name,
                input_names=block.inputs,
                output_names=block.outputs,
                dim_names=captured.symbols,
            )
        else:
            saved = fallbacks[block.name]
            part.onnx, part.program = saved.onnx, saved.torch
        parts.append(part)
    return parts


def _set_precision(bundle: Bundle) -> None:
    if bundle.options.precision != "fp16":
        return
    rules = Patterns(_names(bundle.options.fp32_layers))
    rules.check(bundle.networks)
    for part in bundle.parts:
        if part.network is not None:
            part.network, kept = to_fp16(part.network, keep_fp32=rules)
            bundle.kept += [k.as_dict() for k in kept]


def _quantize(
    bundle: Bundle, captured: Captured, keep: Path | None, step: Step
) -> list[dict[str, Any]]:
    """Gives some of the samples."""
    from edge_trt.lowering.eager import eager_by_name
    from edge_trt.precision.given import load_data
    from edge_trt.precision.quantization import quantize

    model = eager_by_name(captured.program, captured.input_names, captured.output_names)
    data = load_data(bundle.options, bundle.signature, warn)
    return quantize(bundle, data, model, step, warn, keep)


def _build_engines(
    bundle: Bundle, options: CompileOptions, folder: Path | None, step: Step
) -> None:
    """Builds for the targets of the options; what the bundle has for other targets stays."""
    signature = bundle.signature
    specs = [spec for part in bundle.parts for spec in part.tensors]
    sizes = {spec.name: spec.value for spec in specs if spec.value is not None}
    networks = bundle.networks
    if bundle.options.precision == "int8":  # on the CPU the rest is faster, and more exact, in fp32
        rules = Patterns(_names(bundle.options.fp32_layers))
        networks = [to_fp16(network, keep_fp32=rules)[0] for network in networks]
    kept = KeptPlans(folder, bundle.digests(), bundle.check) if folder else None
    here = placed_here(bundle, networks)
    ranges, profiles = signature.dims, signature.profiles
    plans = build_plans(networks, options, ranges, step, profiles, sizes, kept, here)
    built = {plan.target for plan in plans.built}
    # A runtime takes the first that can run, and boards with the same GPU can run each other's.
    bundle.plans = plans.built + [p for p in bundle.plans if p.target not in built]
    there = {plan.target for plan in bundle.plans}
    missing = bundle.missing | plans.missing
    bundle.missing = {target: why for target, why in missing.items() if target not in there}
    bundle.remarks = plans.remarks


def _names(option: object) -> tuple[str, ...]:
    """Names as `CompileOptions` stores them, however they were given."""
    return cast("tuple[str, ...]", option)
