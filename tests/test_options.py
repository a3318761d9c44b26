# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys

import pytest

from edge_trt.errors import OptionError
from edge_trt.option_values import parse_size
from edge_trt.options import (
    CompileOptions,
    add_arguments,
    from_arguments,
    option_of,
)


def command_line(*arguments: str) -> CompileOptions:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return from_arguments(parser.parse_args(arguments))


def test_defaults():
    options = CompileOptions()
    assert options.targets == ("cpu",)
    assert (options.precision, options.fallback, options.min_block_size) == ("fp32", "auto", None)
    assert options.as_dict()["target"] == ["cpu"]
    json.dumps(options.as_dict())


@pytest.mark.parametrize(
    ("target", "targets"),
    [
        ("rtx", ("rtx",)),
        (["cpu", "rtx"], ("cpu", "rtx")),
        (("rtx", "cpu", "rtx"), ("rtx", "cpu")),
        ("agx-orin-64gb", ("agx-orin-64gb",)),
    ],
)
def test_targets_are_normalised(target, targets):
    assert CompileOptions(target=target).targets == targets


def test_options_can_not_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CompileOptions().precision = "fp16"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"target": "agx-orin-64g"}, "did you mean 'agx-orin-64gb'"),
        ({"target": "agx-orin-64g"}, "unknown target"),
        ({"target": ()}, "name at least one"),
        ({"target": "tx1"}, "newest JetPack"),
        ({"target": [1]}, "give names as text"),
        ({"target": 5}, "give a name or several names"),
        ({"precision": "fp61"}, "did you mean 'fp16'"),
        ({"precision": None}, "unknown precision"),
        ({"precision": "int8,fp16"}, "is several: say int8: what it leaves runs in fp16"),
        ({"precision": "int8,fp61"}, "unknown precision"),
        ({"fallback": "forbit"}, "did you mean 'forbid'"),
        ({"calibration": "images/"}, "calibration is about int8, and precision is 'fp32'"),
        ({"metric": len}, "metric is about int8, and precision is 'fp32'"),
        ({"int8_except": "head"}, "int8_except is about int8"),
        ({"dla": "atuo"}, "did you mean 'auto'"),
        ({"dla_objective": "energy"}, "on DLA, and dla is not given"),
        ({"dla_mode": "30W", "dla": "off"}, "on DLA, and dla is 'off'"),
        ({"dla_objective": "speed", "dla": "auto"}, "unknown dla_objective"),
        ({"optimization_level": 6}, "from 0 to 5"),
        ({"optimization_level": -1}, "from 0 to 5"),
        ({"workspace": 0}, "from 1"),
        ({"workspace": "much"}, "not a size"),
        ({"min_block_size": True}, "from 1"),
        ({"self_test": -1}, "from 0"),
        ({"dryrun": 1}, "True or False"),
        ({"timing_cache": 3}, "give a path"),
        ({"fp32_layers": [""]}, "give names as text"),
    ],
)
def test_bad_values_are_refused_with_the_remedy(keywords, text):
    with pytest.raises(OptionError, match=text) as caught:
        CompileOptions(**keywords)
    named = {"precision": "calibration"} if keywords == {"precision": "int8"} else {}
    option = next(iter(keywords))
    assert caught.value.option == named.get(option, option)


def test_unknown_option_names_close_matches():
    with pytest.raises(OptionError, match="did you mean 'precision'") as caught:
        CompileOptions.of({"precison": "fp16"})
    assert caught.value.matches == ("precision",)
    assert isinstance(caught.value, ValueError)


def test_one_name_may_come_alone(tmp_path):
    options = CompileOptions(fallback_ops="aten.gelu", timing_cache=tmp_path / "cache")
    assert options.fallback_ops == ("aten.gelu",)
    assert options.timing_cache == str(tmp_path / "cache")


def test_every_field_is_a_command_line_flag():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    text = parser.format_help()
    for field in dataclasses.fields(CompileOptions):
        assert option_of(field).flag in text
        assert option_of(field).help


def test_no_flags_give_the_defaults():
    assert command_line() == CompileOptions()


def test_flags_mean_what_keywords_mean():
    options = command_line(
        *("--target", "cpu,rtx", "--target", "agx-orin-64gb", "--precision", "fp16"),
        *("--fp32-layers", "head.*", "--fp32-layers", "Softmax", "--fallback", "torch"),
        *("--fallback-ops", "aten.gelu,aten.add.Tensor", "--fallback-modules", "decoder.*"),
        *("--min-block-size", "3", "--dryrun", "--workspace", "1.5GiB"),
        *("--optimization-level", "5", "--timing-cache", "kernels.bin", "--self-test", "0"),
        *("--weight-streaming",),
    )
    assert options == CompileOptions(
        target=("cpu", "rtx", "agx-orin-64gb"),
        precision="fp16",
        fp32_layers=("head.*", "Softmax"),
        fallback="torch",
        fallback_ops=("aten.gelu", "aten.add.Tensor"),
        fallback_modules=("decoder.*",),
        min_block_size=3,
        dryrun=True,
        workspace=3 * 2**29,
        optimization_level=5,
        timing_cache="kernels.bin",
        self_test=0,
        weight_streaming=True,
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--workspace", "much"], "'much' is not a size"),
        (["--self-test", "two"], "'two' is not a whole number"),
        (["--precision", "half"], "unknown precision 'half'"),
        (["--dla", "always"], "unknown dla 'always'"),
    ],
)
def test_flags_are_refused_in_our_words(arguments, text):
    with pytest.raises(OptionError, match=text):
        command_line(*arguments)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1024", 1024), ("1k", 1024), ("512MiB", 2**29), ("2 gb", 2**31), ("0.5G", 2**29)],
)
def test_sizes(text, size):
    assert parse_size(text) == size


# What must and must not give another engine; a new field has to be put into one of the two.
CHANGES_THE_ENGINE = {
    "plugins": ("mylib",),
    "states": "io",
    "profiles": ("batch=1",),
    "precision": "fp16",
    "fp32_layers": ("head.*",),
    "fallback_ops": ("aten.gelu",),
    "fallback_modules": ("head",),
    "min_block_size": 2,
    "workspace": 2**30,
    "optimization_level": 5,
    "weight_streaming": True,
    "float64_as_float32": True,
}
LEAVES_THE_ENGINE = {
    "target": ("rtx",),
    "fallback": "forbid",
    "dryrun": True,
    "timing_cache": "kernels.bin",
    "self_test": 5,
}
INT8 = {"precision": "int8", "calibration": "data.npy"}
CHANGES_INT8 = {
    "calibration": "other.npy",
    "ranges": "ranges.json",
    "calibration_method": "max",
    "samples": 100,
    "int8_except": ("head.*",),
    "int8_scheme": "dense",
    "int8_weights": "mse",
}
CHANGES_DLA = {"dla": "only", "dla_objective": "energy", "dla_mode": "30W"}


def test_every_field_is_judged_for_the_cache_key():
    names = {field.name for field in dataclasses.fields(CompileOptions)}
    judged = CHANGES_THE_ENGINE.keys() | LEAVES_THE_ENGINE.keys() | CHANGES_INT8.keys()
    assert names == judged | {"metric"} | CHANGES_DLA.keys()


def test_cache_key_changes_exactly_with_the_engine():
    default = CompileOptions().cache_key()
    keys = {CompileOptions(**{n: v}).cache_key() for n, v in CHANGES_THE_ENGINE.items()}
    assert len(keys | {default}) == len(CHANGES_THE_ENGINE) + 1
    assert {CompileOptions(**{n: v}).cache_key() for n, v in LEAVES_THE_ENGINE.items()} == {default}


def test_cache_key_changes_with_what_sets_the_ranges():
    default = CompileOptions(**INT8).cache_key()
    keys = {CompileOptions(**INT8 | {n: v}).cache_key() for n, v in CHANGES_INT8.items()}
    assert len(keys | {default}) == len(CHANGES_INT8) + 1
    assert CompileOptions(**INT8, metric="data.py:accuracy").cache_key() == default


def test_cache_key_changes_with_what_places_layers():
    keys = {CompileOptions(**{"dla": "auto"} | {n: v}).cache_key() for n, v in CHANGES_DLA.items()}
    assert len(keys | {CompileOptions(dla="auto").cache_key(), CompileOptions().cache_key()}) == 5


@pytest.mark.parametrize(
    ("options", "dense"),
    [
        ({}, False),
        ({"int8_scheme": "dense"}, True),
        ({"dla": "auto"}, True),
        ({"dla": "only"}, True),
        ({"dla": "off"}, False),
    ],
)
def test_a_dla_wants_every_tensor_quantized(options, dense):
    assert CompileOptions(**INT8, **options).dense is dense


def test_options_need_no_torch():
    code = "import sys, edge_trt.options; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
