# SPDX-License-Identifier: Apache-2.0
"""Compile options: one frozen dataclass that is default, type, text, command line and cache key.

Every field carries an :class:`Option` in its metadata. The command line is generated from it
(:func:`add_arguments`, :func:`from_arguments`), and :meth:`CompileOptions.cache_key` hashes the
fields whose value can change an engine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from edge_trt.option_checks import check_target, check_together
from edge_trt.option_values import (
    normalised,
    parse_data,
    parse_names,
    parse_path,
    parse_profile,
    parse_size,
    parse_whole_number,
    unknown,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection, Iterable, Mapping

PRECISIONS = ("fp32", "fp16", "int8")
DLA_POLICIES = ("auto", "only", "off")
FALLBACKS = ("auto", "torch", "onnxruntime", "forbid")


@dataclass(frozen=True)
class Option:
    """What the command line and the cache key know of a field.

    Attributes:
        flag: The command-line flag.
        help: One sentence for ``--help``.
        parse: Text of the command line to value; ``None`` for a switch.
        repeated: The flag may be given several times; the values are joined.
        choices: The values it may take, empty when it is free.
        low: Least number allowed; ``None`` when the value is no number.
        high: Greatest number allowed; ``None`` when there is no limit.
        metavar: Name of the value in ``--help``.
        engine: Whether the value can change an engine, so that it is part of the cache key.
    """

    flag: str
    help: str
    parse: Callable[[str], Any] | None = str
    repeated: bool = False
    choices: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    metavar: str | None = None
    engine: bool = True


def _field(default: Any, flag: str, text: str, **rest: Any) -> Any:
    """Return a dataclass field that carries its :class:`Option`."""
    return dataclasses.field(default=default, metadata={"option": Option(flag, text, **rest)})


@dataclass(frozen=True, kw_only=True)
class CompileOptions:
    """How a model is compiled; see each field's text in ``edge_trt build --help``.

    Names may be given alone or in a sequence; they are stored as tuples.

    Raises:
        OptionError: When a value is unknown (with close matches), out of range, or belongs to a
            feature that this version does not have yet.
    """

    target: str | Iterable[str] = _field(
        ("cpu",),
        "--target",
        "what to compile for: cpu, rtx, cuda or a board (edge_trt boards lists them)",
        parse=parse_names,
        repeated=True,
        metavar="NAME",
        engine=False,  # the fingerprint of an engine names its target already
    )
    precision: str = _field("fp32", "--precision", "arithmetic of the engines", choices=PRECISIONS)
    fp32_layers: str | Iterable[str] = _field(
        (),
        "--fp32-layers",
        "what stays fp32 under fp16: patterns of module paths ('head.*') or layer kinds (Softmax)",
        parse=parse_names,
        repeated=True,
        metavar="PATTERN",
    )
    float64_as_float32: bool = _field(
        False,
        "--float64-as-float32",
        "compute float64 in float32; inputs and outputs of float64 become float32 too",
        parse=None,
    )
    fallback: str = _field(
        "auto",
        "--fallback",
        "what runs the operators that TensorRT can't take: ONNX Runtime where it can, else PyTorch "
        "(auto); only the one or the other; nothing (forbid)",
        choices=FALLBACKS,
        engine=False,
    )
    fallback_ops: str | Iterable[str] = _field(
        (),
        "--fallback-ops",
        "operators to keep out of TensorRT, such as aten.gelu or aten.add.Tensor",
        parse=parse_names,
        repeated=True,
        metavar="OP",
    )
    fallback_modules: str | Iterable[str] = _field(
        (),
        "--fallback-modules",
        "patterns of module paths to keep out of TensorRT, such as 'decoder.*'",
        parse=parse_names,
        repeated=True,
        metavar="PATTERN",
    )
    min_block_size: int | None = _field(
        None,
        "--min-block-size",
        "fewest operators that are worth a TensorRT block (default: the costs of copies decide)",
        parse=parse_whole_number,
        low=1,
        metavar="N",
    )
    states: str = _field(
        "refuse",
        "--states",
        "buffers that forward writes to: refuse them, or make them inputs and outputs (io)",
        choices=("refuse", "io"),
    )
    profiles: str | Mapping[str, Any] | Iterable[str | Mapping[str, Any]] = _field(
        (),
        "--profile",
        "sizes to tune an engine for, in place of the whole range, as batch=1..4..8,height=224 "
        "(repeat it)",
        parse=parse_profile,
        repeated=True,
        metavar="SIZES",
    )
    plugins: str | Iterable[str] = _field(
        (),
        "--plugin",
        "modules or Python files to import first, for operators and converters that they register",
        parse=parse_names,
        repeated=True,
        metavar="MODULE",
    )
    dryrun: bool = _field(
        False,
        "--dryrun",
        "report what would be compiled, and stop before any engine is built",
        parse=None,
        engine=False,
    )
    calibration: Any = _field(
        None,
        "--calibration",
        "sample data that sets the int8 ranges: FILE.py:NAME, .npy, .npz, a folder of these or of "
        "images; in Python also arrays, batches, or a function that gives them",
        parse=parse_data,
        metavar="DATA",
    )
    ranges: Any = _field(
        None,
        "--ranges",
        "int8 ranges of an earlier edge_trt calibrate, or a calibration cache of TensorRT",
        parse=parse_data,
        metavar="FILE",
    )
    calibration_method: str | None = _field(
        None,
        "--calibration-method",
        "how ranges are chosen: max, mse, entropy, entropy2, percentile, percentile:99.9 or best "
        "(default: mse, and ranges of a file as they are)",
        metavar="METHOD",
    )
    samples: int | None = _field(
        None,
        "--samples",
        "samples to calibrate with (default: at most 512, fewer when the ranges stand still)",
        parse=parse_whole_number,
        low=1,
        metavar="N",
    )
    int8_except: str | Iterable[str] = _field(
        (),
        "--int8-except",
        "what is not int8 under int8: patterns as of --fp32-layers, or the words first and last",
        parse=parse_names,
        repeated=True,
        metavar="PATTERN",
    )
    int8_scheme: str = _field(
        "sparse",
        "--int8-scheme",
        "int8 for products with weights, as a GPU wants it (sparse), or for every tensor, as a DLA "
        "wants it (dense, which --dla brings along)",
        choices=("sparse", "dense"),
    )
    int8_weights: str = _field(
        "max",
        "--int8-weights",
        "scales of int8 weights, for each output channel: nothing is clipped (max), or the squared "
        "error is smallest (mse)",
        choices=("max", "mse"),
    )
    metric: Any = _field(
        None,
        "--metric",
        "FILE.py:FUNCTION that rates a model; it is told of eager, fp32 and int8",
        parse=parse_data,
        metavar="FUNCTION",
        engine=False,
    )
    dla: str | None = _field(
        None,
        "--dla",
        "layers on the deep learning accelerators of the target: where that is best (auto), all of "
        "them or an error (only), none (off, the default; a bundle's default is its own plan)",
        choices=DLA_POLICIES,
    )
    dla_objective: str = _field(
        "latency",
        "--dla-objective",
        "what is best: the latency of one run, the throughput of many, or the energy of a run",
        choices=("latency", "throughput", "energy"),
    )
    dla_mode: str | None = _field(
        None,
        "--dla-mode",
        "power mode to place layers for, such as MAXN, 30W or MODE_30W (default: the one that the "
        "board starts in)",
        metavar="MODE",
    )
    workspace: int | None = _field(
        None,
        "--workspace",
        "memory that TensorRT may use for scratch, such as 512MiB (default: all of the device's)",
        parse=parse_size,
        low=1,
        metavar="SIZE",
    )
    optimization_level: int | None = _field(
        None,
        "--optimization-level",
        "0 (fast build) to 5 (slow build, fast engine); TensorRT's own default is 3",
        parse=parse_whole_number,
        low=0,
        high=5,
        metavar="0-5",
    )
    weight_streaming: bool = _field(
        False,
        "--weight-streaming",
        "build engines that can leave weights in the host's memory, for load(weight_streaming=)",
        parse=None,
    )
    timing_cache: str | None = _field(
        None,
        "--timing-cache",
        "file that remembers measured kernels from one build to the next",
        parse=parse_path,
        metavar="PATH",
        engine=False,
    )
    self_test: int = _field(
        2,
        "--self-test",
        "how many recorded cases the bundle carries for edge_trt verify",
        parse=parse_whole_number,
        low=0,
        metavar="CASES",
        engine=False,
    )

    def __post_init__(self) -> None:
        """Normalise sequences and refuse what can't be meant."""
        for field in dataclasses.fields(self):
            option = option_of(field)
            value = normalised(field, option, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        for target in self.targets:
            check_target(target)
        check_together(self)

    @property
    def places_dla(self) -> bool:
        """Whether layers are placed on DLA."""
        return self.dla in ("auto", "only")

    @property
    def dense(self) -> bool:
        """Whether every tensor is quantized under int8, as a DLA wants it."""
        return self.int8_scheme == "dense" or self.places_dla

    @property
    def targets(self) -> tuple[str, ...]:
        """The targets, without repetitions, in the order given."""
        return cast("tuple[str, ...]", self.target)

    @classmethod
    def of(cls, keywords: Mapping[str, Any]) -> CompileOptions:
        """Make options from keywords, as ``edge_trt.compile`` gets them.

        Raises:
            OptionError: When a keyword is unknown; the text holds close matches.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in keywords:
            if name not in known:
                raise unknown("option", name, known, option=name)
        return cls(**keywords)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values by field name, as the manifest keeps them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: _as_json(value) for name, value in values.items()}

    def cache_key(self) -> str:
        """Return a hexadecimal digest of every field that can change an engine."""
        fields = dataclasses.fields(self)
        engine = {field.name for field in fields if option_of(field).engine}
        values = {name: value for name, value in self.as_dict().items() if name in engine}
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _as_json(value: Any) -> Any:
    """A value as the manifest keeps it; of data only what it was."""
    if isinstance(value, tuple):
        return list(cast("tuple[str, ...]", value))
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return getattr(value, "__name__", type(value).__name__)


def option_of(field: dataclasses.Field[Any]) -> Option:
    """Return what a field of :class:`CompileOptions` carries for command line and cache."""
    return field.metadata["option"]


class ArgumentTaker(Protocol):
    """A parser of argparse, or a group of one."""

    def add_argument(self, *names: str, **properties: Any) -> Any:
        """Declare an argument."""
        ...


def add_arguments(parser: ArgumentTaker, without: Collection[str] = ()) -> None:
    """Add one argument per field; values stay text until :func:`from_arguments`.

    Args:
        parser: where they go.
        without: fields that the command does not read.
    """
    for field in dataclasses.fields(CompileOptions):
        if field.name in without:
            continue
        option = option_of(field)
        common: dict[str, Any] = {"dest": field.name, "help": option.help, "default": None}
        if option.parse is None:
            parser.add_argument(option.flag, action="store_true", **common)
            continue
        # argparse would replace the text of an OptionError by its own, so nothing is parsed here.
        common["metavar"] = option.metavar or "{" + ",".join(option.choices) + "}"
        parser.add_argument(option.flag, action="append" if option.repeated else "store", **common)


def from_arguments(arguments: argparse.Namespace) -> CompileOptions:
    """Make options from what :func:`add_arguments` parsed; absent flags keep their default.

    Raises:
        OptionError: As :class:`CompileOptions`, or when a text can't be read as a value.
    """
    keywords: dict[str, Any] = {}
    for field in dataclasses.fields(CompileOptions):
        option, given = option_of(field), getattr(arguments, field.name, None)
        if given is None:
            continue
        if option.repeated:
            keywords[field.name] = [v for text in given for v in option.parse(text)]  # type: ignore[misc]
        else:
            keywords[field.name] = option.parse(given) if option.parse else given
    return CompileOptions(**keywords)
