# SPDX-License-Identifier: Apache-2.0
"""Building plans with the real `tensorrt_rtx`, and everything around a build."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_trt.engines.plan_file import PlanFile
from edge_trt.engines.tensorrt import (
    BuildSettings,
    Emitted,
    Flavour,
    build_plan,
    emit,
    load_flavour,
)
from edge_trt.engines.tensorrt.build import _builder
from edge_trt.engines.tensorrt.flavours import network_flags
from edge_trt.engines.tensorrt.interrupt import interrupts_to
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network, Node, Origin, Tensor
from edge_trt.network.layers import (
    Activation,
    Convolution,
    Deconvolution,
    ElementWise,
    MatrixMultiply,
)
from edge_trt.network.serialize import dump, load
from edge_trt.network.types import DType, TensorType
from edge_trt.network.weights import WeightStore, read_weights
from edge_trt_runtime.checksums import file_entry
from edge_trt_runtime.manifest import Range
from edge_trt_runtime.tensorrt.messages import Messages, clean, error_recorder, logging_to
from tests.support.layer_networks import CASES

FLOAT = DType.FLOAT32
RANGES = {"batch": Range(1, 2, 4)}
rtx = pytest.mark.rtx


@pytest.fixture(scope="module")
def flavour() -> Flavour:
    pytest.importorskip("tensorrt_rtx")
    return load_flavour("tensorrt_rtx")


def stack(depth: int = 4, dtype: DType = FLOAT) -> Network:
    """Convolutions in a row, each from a module of its own."""
    net = Network("stack")
    x = net.input("image", TensorType(dtype, ("batch", 8, 16, 16)))
    for i in range(depth):
        net.origin = Origin(
            f"layers.{i}.conv", f"model.py:{10 + i}", "aten.conv2d.default", "conv2d"
        )
        kernel = net.constant(np.full((8, 8, 3, 3), 0.01, dtype.numpy), "kernel")
        x = net.add(Convolution((1, 1), (1, 1), (1, 1), (1, 1)), x, kernel)
        net.origin = Origin(f"layers.{i}.relu", f"model.py:{30 + i}", "aten.relu.default", "relu")
        x = net.add(Activation("RELU"), x)
    net.mark_output(x, "output")
    return net


def emitted(flavour: Flavour, network: Network) -> Emitted:
    trt, messages = flavour.module, Messages()
    recorder = error_recorder(trt, messages)
    with logging_to(trt, Messages()) as log:
        builder = trt.Builder(log)
        builder.error_recorder = recorder
        return emit(network, trt, builder.create_network(network_flags(trt)), messages)


# -- what comes out ----------------------------------------------------------------------------


@rtx
def test_a_plan_and_its_report(flavour):
    told: list[tuple[str, float, str]] = []
    result = build_plan(
        stack(),
        flavour=flavour,
        settings=BuildSettings(optimization_level=0, workspace=1 << 26, ranges=RANGES),
        progress=lambda *news: told.append(news),
    )
    assert result.plan.nbytes > 4 * 8 * 8 * 9 * 4
    assert bytes(result.plan[:4]) != bytes(4)
    assert result.layers == 8
    assert result.build_seconds > result.emit_seconds > 0
    assert result.warnings == ()
    assert result.timing_cache == ""
    stages = [stage for stage, _, _ in told]
    assert stages[0] == "emit"
    assert set(stages[1:]) == {"build"}
    fractions = [fraction for _, fraction, _ in told[1:]]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert len(set(fractions)) > 20, "steps inside phases move it too"


@rtx
def test_a_plan_in_a_file_is_the_same(flavour, tmp_path):
    weights = WeightStore()
    text = dump(stack(), weights)
    weights.write(tmp_path / "weights")
    mapped = load(text, read_weights(tmp_path / "weights"))
    settings, file = BuildSettings(ranges=RANGES), PlanFile(tmp_path / "plan")
    written = build_plan(mapped, flavour=flavour, settings=settings, file=file).plan
    assert bytes(written) == bytes(build_plan(mapped, flavour=flavour, settings=settings).plan)
    assert file.entry() == file_entry(str(tmp_path / "plan"))


@rtx
def test_a_full_disk_ends_the_build(flavour):
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        build_plan(
            stack(),
            flavour=flavour,
            settings=BuildSettings(ranges=RANGES),
            file=PlanFile(Path("/dev/full")),
        )


@rtx
def test_layers_speak_of_the_model(flavour):
    result = emitted(flavour, stack(2))
    found = [result.definition.get_layer(i) for i in range(result.definition.num_layers)]
    assert [layer.name for layer in found] == ["conv2d", "relu", "conv2d_1", "relu_1"]
    assert found[2].metadata == "aten.conv2d.default, module layers.1.conv, model.py:11"
    assert found[2].get_input(0).name == "relu"
    assert result.definition.get_input(0).get_dimension_name(0) == "batch"


@rtx
def test_weights_are_not_copied(flavour):
    net = stack(1)
    kernel = net.nodes[0].inputs[1]
    kernel.data.flags.writeable = False
    result = emitted(flavour, net)
    assert any(np.shares_memory(kept, kernel.data) for kept in result.keep)
    layer = result.definition.get_layer(0)
    layer.__class__ = flavour.module.IConvolutionLayer
    assert np.shares_memory(layer.kernel, kernel.data)


@rtx
def test_one_constant_read_twice_is_one_layer(flavour):
    net = Network("n")
    x = net.input("x", TensorType(FLOAT, (2, 2)))
    two = net.constant(np.full((2, 2), 2, np.float32))
    net.mark_output(net.add(ElementWise("SUM"), net.add(ElementWise("PROD"), x, two), two), "y")
    assert emitted(flavour, net).definition.num_layers == 3


@rtx
def test_a_timing_cache_is_not_pretended(flavour, tmp_path):
    settings = BuildSettings(timing_cache=str(tmp_path / "cache"), ranges=RANGES)
    result = build_plan(stack(1), flavour=flavour, settings=settings)
    assert result.timing_cache.startswith("unused by tensorrt_rtx")
    assert not list(tmp_path.iterdir())


@rtx
def test_plans_for_chosen_gpus(flavour):
    settings = BuildSettings(ranges=RANGES, compute_capabilities=("7.5", "8.6"))
    assert build_plan(stack(1), flavour=flavour, settings=settings).plan.nbytes > 1000
    with pytest.raises(BuildError, match=r"capability 5\.3.*7\.5, 8\.0, 8\.6"):
        build_plan(stack(1), flavour=flavour, settings=BuildSettings(compute_capabilities=("5.3",)))


# -- what goes wrong ---------------------------------------------------------------------------


@rtx
def test_a_layer_that_can_not_be_built_is_named(flavour):
    """tensorrt_rtx has no bfloat16 deconvolution, and says so late, in its compiler."""
    bfloat = DType.BFLOAT16
    net = stack(2, bfloat)
    (x,) = net.outputs
    net.outputs.clear()
    net.origin = Origin("decoder.up", "model.py:77", "aten.conv_transpose2d.input", "up")
    kernel = net.constant(np.ones((8, 8, 2, 2), bfloat.numpy))
    up = net.add(Deconvolution((2, 2), (0, 0), (0, 0), (1, 1)), x, kernel)
    net.mark_output(net.add(Activation("RELU"), up), "y")
    with pytest.raises(BuildError) as caught:
        build_plan(net, flavour=flavour, settings=BuildSettings(ranges=RANGES))
    error = caught.value
    assert (error.layer, error.module) == ("up", "decoder.up")
    assert "model.py:77" in str(error)
    assert "Could not infer output types" in str(error)
    assert len(str(error)) < 1000
    assert error.log


@rtx
def test_an_error_without_a_layer_keeps_its_words(flavour):
    case = next(case for case in CASES if case.name == "deconv_dilated")
    with pytest.raises(
        BuildError, match=r"can't build network.*Strided & Dilated Deconv"
    ) as caught:
        build_plan(case.network(dynamic=False), flavour=flavour)
    assert not caught.value.layer


@rtx
def test_a_refused_layer_is_named(flavour):
    """A node that `infer` would not let pass, as only a bug of ours could make it."""
    net = Network("n")
    x = net.input("x", TensorType(FLOAT, (2, 3)))
    y = net.input("y", TensorType(DType.FLOAT16, (2, 3)))
    origin = Origin("head.mix", "model.py:42", "aten.add.Tensor")
    net.append(Node("mix", ElementWise("SUM"), (x, y), (Tensor("z", x.type),), origin))
    net.mark_output(net.nodes[0].outputs[0], "z")
    with pytest.raises(BuildError, match="must have same input types") as caught:
        emitted(flavour, net)
    assert caught.value.layer == "mix"
    assert caught.value.module == "head.mix"
    assert "model.py:42" in str(caught.value)


WRONG = [
    TensorType(FLOAT, (2, 4)),
    TensorType(FLOAT, (6,)),
    TensorType(FLOAT, ("batch", 3)),
    TensorType(DType.INT32, (2, 3)),
]


@rtx
@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_another_type_than_ours_is_an_error(flavour, wrong):
    net = Network("n")
    x = net.input("x", TensorType(FLOAT, (2, 3)))
    origin = Origin("head.relu", "model.py:42", "aten.relu.default")
    net.append(Node("relu", Activation("RELU"), (x,), (Tensor("y", wrong),), origin))
    net.mark_output(net.nodes[0].outputs[0], "y")
    with pytest.raises(BuildError, match=r"TensorRT makes FLOAT\[2, 3\] of it") as caught:
        emitted(flavour, net)
    assert "head.relu, model.py:42" in str(caught.value)


@rtx
def test_too_many_dimensions(flavour):
    net = Network("n")
    x = net.input("x", TensorType(FLOAT, (1,) * 9))
    net.mark_output(net.add(Activation("RELU"), x), "y")
    with pytest.raises(BuildError, match="more than 8 dimensions"):
        emitted(flavour, net)


@rtx
def test_a_size_without_a_range(flavour):
    with pytest.raises(BuildError, match=r"size batch of input %image.*no range.*edge_trt\.Input"):
        build_plan(stack(1), flavour=flavour)
    with pytest.raises(BuildError, match="MIN<=OPT<=MAX"):
        build_plan(
            stack(1), flavour=flavour, settings=BuildSettings(ranges={"batch": Range(4, 2, 1)})
        )


@rtx
def test_an_input_with_an_expression(flavour):
    net = Network("n")
    x = net.input("x", TensorType(FLOAT, ("batch*49", 8)))
    weight = net.constant(np.ones((8, 4), np.float32))
    net.mark_output(net.add(MatrixMultiply(), x, weight), "y")
    assert build_plan(net, flavour=flavour, settings=BuildSettings(ranges=RANGES)).plan.nbytes


@rtx
def test_an_error_in_the_callback_ends_the_build(flavour):
    seen: list[str] = []

    def report(stage: str, fraction: float, text: str) -> None:
        seen.append(stage)
        if len(seen) == 5:
            raise OSError("the terminal is gone")

    with pytest.raises(OSError, match="terminal is gone"):
        build_plan(stack(), flavour=flavour, settings=BuildSettings(ranges=RANGES), progress=report)
    assert len(seen) == 5


@rtx
def test_ctrl_c_ends_the_build(flavour):
    seen: list[str] = []

    def report(stage: str, fraction: float, text: str) -> None:
        seen.append(stage)
        if len(seen) == 5:
            signal.raise_signal(signal.SIGINT)

    settings = BuildSettings(ranges=RANGES)
    with pytest.raises(KeyboardInterrupt):
        build_plan(stack(), flavour=flavour, settings=settings, progress=report)
    assert build_plan(stack(), flavour=flavour, settings=settings).plan.nbytes > 1000


def test_ctrl_c_is_heard_while_python_is_not_running():
    """The signal goes to another thread, so that not even the system call is interrupted."""
    heard: list[float] = []
    libc = ctypes.CDLL(None)

    def send() -> None:
        time.sleep(0.05)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    sender = threading.Thread(target=send)
    returned: list[float] = []

    def wait() -> None:
        with interrupts_to(lambda: heard.append(time.monotonic())):
            sender.start()
            libc.usleep(400_000)
            returned.append(time.monotonic())

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        wait()
    sender.join()
    assert returned[0] - heard[0] > 0.1
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_ctrl_c_belongs_to_the_main_thread():
    def elsewhere() -> None:
        with interrupts_to(lambda: None):
            handlers.append(signal.getsignal(signal.SIGINT))

    handlers: list[Any] = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


def test_a_builder_that_is_not_there():
    def builder(log: object) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    class Anything:
        WARNING = 1

    trt = types.ModuleType("tensorrt")
    trt.__dict__.update(Builder=builder, ILogger=Anything, IErrorRecorder=Anything)
    with pytest.raises(BuildError, match=r"tensorrt 10\.3\.0 can't create a builder.*NVIDIA GPU"):
        build_plan(stack(1), flavour=Flavour("tensorrt", trt, "10.3.0"))


def test_texts_are_cleaned():
    text = (
        "ITensor::getDimensions: Error Code 4: API Usage Error (conv1: input has 3 channels."
        " In validate at /_src/optimizer/api/layers/convolutionLayer.cpp:194)"
    )
    assert clean(text) == "conv1: input has 3 channels"
    assert clean("plain words.") == "plain words"


@pytest.mark.parametrize(
    ("name", "threads"), [("tensorrt_rtx", len(os.sched_getaffinity(0))), ("tensorrt", 0)]
)
def test_all_cores_build_where_no_kernel_is_measured(name: Any, threads: int) -> None:
    module: Any = types.SimpleNamespace(Builder=lambda log: types.SimpleNamespace(max_threads=0))
    builder = _builder(Flavour(name, module, "11.4.0"), None)
    assert builder.max_threads == threads
