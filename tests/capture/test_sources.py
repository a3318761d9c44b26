# SPDX-License-Identifier: Apache-2.0
"""Models from files, factories and modules."""

from __future__ import annotations

import sys
import textwrap

import pytest
import torch
from torch import nn

from edge_trt.capture import Input, capture
from edge_trt.errors import CaptureError

MODEL = """
    import torch
    from torch import nn
    import neighbour_{n}

    class Net(nn.Module):
        def forward(self, image):
            return image * neighbour_{n}.FACTOR

    def create():
        return Net().eval()

    def with_inputs():
        return Net().eval(), (torch.ones(2, 3),)

    def with_keywords():
        return Net().eval(), {{"image": torch.ones(2, 3)}}

    def exported():
        return torch.export.export(Net().eval(), (torch.ones(2, 3),))

    def fails():
        weights = {{}}
        return weights["missing"]  # culprit

    def wrong():
        return "a model"

    ready = Net().eval()
    number = 3
"""


@pytest.fixture
def model_file(tmp_path, request):
    # Module names are global: each test gets its own.
    number = abs(hash(request.node.name))
    (tmp_path / f"neighbour_{number}.py").write_text("FACTOR = 2\n")
    path = tmp_path / f"model_{number}.py"
    path.write_text(textwrap.dedent(MODEL.format(n=number)))
    before = set(sys.modules)
    yield path
    for name in set(sys.modules) - before:
        if str(number) in name:
            del sys.modules[name]


@pytest.mark.parametrize("factory", ["with_inputs", "with_keywords", "exported"])
def test_factory_of_a_file_with_inputs(model_file, factory):
    captured = capture(f"{model_file}:{factory}")
    assert captured.input_names == ["image"]
    assert captured.signature.inputs[0].shape == [2, 3]
    assert not any(str(model_file.parent) in entry for entry in sys.path)


@pytest.mark.parametrize("factory", ["create", "ready", "Net"])
def test_factory_of_a_file_without_inputs(model_file, factory, recwarn):
    captured = capture(f"{model_file}:{factory}", Input.parse("image=4x3"))
    assert captured.signature.inputs[0].shape == [4, 3]
    assert captured.name == "Net"
    with pytest.raises(CaptureError, match="Net has no example inputs"):
        capture(f"{model_file}:{factory}")


def test_given_inputs_win_over_those_of_the_factory(model_file):
    captured = capture(f"{model_file}:with_inputs", (torch.ones(5, 3),))
    assert captured.signature.inputs[0].shape == [5, 3]


def test_factory_of_a_module(model_file, monkeypatch):
    monkeypatch.syspath_prepend(model_file.parent)
    assert capture(f"{model_file.stem}:with_inputs").input_names == ["image"]


def test_a_module_is_also_found_in_the_current_folder(model_file, monkeypatch):
    monkeypatch.chdir(model_file.parent)
    assert capture(f"{model_file.stem}:with_inputs").input_names == ["image"]


def test_a_file_named_like_a_loaded_module_does_not_replace_it(tmp_path):
    import json

    path = tmp_path / "json.py"
    path.write_text("from torch import nn\n\ndef create():\n    return nn.ReLU().eval()\n")
    capture(f"{path}:create", torch.ones(2))
    assert sys.modules["json"] is json


def test_a_program_of_operators_that_nobody_declares_names_them(tmp_path):
    class Twice(torch.nn.Module):
        def forward(self, x):
            return torch.ops.edge_trt_absent.twice(x) + 1

    with torch.library._scoped_library("edge_trt_absent", "DEF") as library:
        library.define("twice(Tensor x) -> Tensor")
        torch.library.register_fake("edge_trt_absent::twice", torch.empty_like, lib=library)
        program = torch.export.export(Twice().eval(), (torch.randn(3),))
        torch.export.save(program, tmp_path / "twice.pt2")
    with pytest.raises(CaptureError, match=r"calls .*: edge_trt_absent\.twice: import .*--plugin"):
        capture(str(tmp_path / "twice.pt2"))


def test_pt2_file(tmp_path):
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(nn.Linear(3, 2).eval(), (torch.ones(4, 3),)), path)
    for given in (path, str(path)):
        captured = capture(given)
        assert captured.name == "net"
        assert captured.signature.inputs[0].shape == [4, 3]


def test_a_failing_factory_names_its_line(model_file):
    with pytest.raises(CaptureError, match="fails failed: KeyError: 'missing'") as caught:
        capture(f"{model_file}:fails")
    number = 1 + model_file.read_text().splitlines().index(
        '    return weights["missing"]  # culprit'
    )
    assert caught.value.source == f"{model_file}:{number}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{file}:craete", "did you mean 'create'"),
        ("{file}:number", "is no function"),
        ("{file}:wrong", "of type str"),
        ("{file}", "add the function that makes the model"),
        ("{folder}/none.py:create", "there is no file"),
        ("{folder}/none.pt2", "there is no file"),
        ("{folder}/junk.pt2", "not a program of torch.export.save"),
        ("{folder}/syntax.py:create", r"syntax.py could not be imported: .* at .*syntax.py:2"),
        ("{folder}/imports.py:create", "No module named 'surely_not_there'.* at .*imports.py:1"),
        ("weights.pth", "weights alone are no model"),
        ("{folder}/m.edge", "is a bundle: in Python give edge_trt.load of it to calibrate"),
        ("mypackage.models.detector", "mypackage.models:detector"),
        ("resnet50", "timm:NAME or torchvision:NAME"),
        ("surely.not_there:create", "there is no module 'surely.not_there'"),
        ("timm:resnet5O", "did you mean 'resnet50'"),
        ("torchvision:resnet5O", "did you mean 'resnet50'"),
        ("torchvision:quantized_resnet18", "no model 'quantized_resnet18'"),
        ("torchvision:resnet18@IMAGENET1K_V3", "did you mean 'IMAGENET1K_V1'"),
        ("timm:resnet18@imagenet", "timm:resnet18@pretrained"),
    ],
)
def test_what_names_no_model(text, says, model_file):
    folder = model_file.parent
    (folder / "junk.pt2").write_bytes(b"PK\3\4 no program")
    (folder / "syntax.py").write_text("import torch\ndef create(:\n    pass\n")
    (folder / "imports.py").write_text("import surely_not_there\n")
    (folder / "m.edge").mkdir()
    (folder / "m.edge" / "manifest.json").write_text("{}")
    with pytest.raises(CaptureError, match=says):
        capture(text.format(file=model_file, folder=folder), torch.ones(2, 3))
    assert "edge_trt_model_syntax" not in sys.modules
