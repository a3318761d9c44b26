# SPDX-License-Identifier: Apache-2.0
"""A build that is ended anywhere leaves the older bundle as it was, and nothing beside it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

import edge_trt
from edge_trt.options import CompileOptions
from edge_trt.pipeline import add_engines
from tests.cli.conftest import Command
from tests.pipeline.models import FACTORY, IMAGE, net

STAGES = ("capture", "lowering", "partitioning", "conversion", "precision", "self-test")


class Interrupts:
    """A watcher who presses Ctrl-C when a stage is as far as asked."""

    def __init__(self, stage: str, above: float = -1.0) -> None:
        self.stage, self.above = stage, above
        self.pressed = 0

    def __call__(self, stage: str, fraction: float, note: str) -> None:
        if stage == self.stage and fraction > self.above:
            self.pressed += 1
            raise KeyboardInterrupt


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    edge_trt.compile(net(), (IMAGE,)).save(tmp_path / "m.edge")
    return tmp_path


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_can_be_interrupted(stage: str) -> None:
    model, watcher = net(), Interrupts(stage)
    with pytest.raises(KeyboardInterrupt):
        edge_trt.compile(model, (IMAGE,), precision="fp16", progress=watcher)
    assert watcher.pressed == 1
    assert not any(module.training for module in model.modules())
    edge_trt.compile(model, (IMAGE,))


@pytest.mark.rtx
@pytest.mark.parametrize("above", [-1.0, 0.0, 0.5])
def test_the_build_of_a_plan_can_be_interrupted(above: float, old: Path) -> None:
    before, watcher = snapshot(old), Interrupts("engines", above)
    bundle = edge_trt.load(old / "m.edge")
    with pytest.raises(KeyboardInterrupt):
        add_engines(bundle, CompileOptions(target=("cpu", "rtx")), watcher)
    assert watcher.pressed >= 1
    assert bundle.plans == []
    assert snapshot(old) == before
    add_engines(bundle, CompileOptions(target=("cpu", "rtx")))
    assert len(bundle.plans) == 1


@pytest.mark.parametrize(
    "place", ["edge_trt.engines.onnx.emit", "edge_trt.bundle.save.tolerance", "json.dumps"]
)
def test_saving_can_be_interrupted(place: str, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, bundle = snapshot(old), edge_trt.compile(net(), (IMAGE,))

    def interrupts(*args: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place, interrupts)
        with pytest.raises(KeyboardInterrupt):
            bundle.save(old / "m.edge")
    assert snapshot(old) == before
    assert bundle.path is None
    bundle.save(old / "m.edge")
    assert snapshot(old) != before


@pytest.mark.parametrize("stage", ["capture", pytest.param("engines", marks=pytest.mark.rtx)])
def test_the_command_leaves_everything_as_it_was(
    stage: str, old: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old / "model.py").write_text(FACTORY)
    before, watcher = snapshot(old), Interrupts(stage)

    @contextlib.contextmanager
    def bar():
        yield watcher

    monkeypatch.setattr("edge_trt.cli.console.progress_bar", bar)
    done = command(
        "build", f"{old / 'model.py'}:net", "--input", "image=2x3x8x8", "--target", "rtx",
        "-o", old / "m.edge",
    )  # fmt: skip
    assert watcher.pressed >= 1
    assert (done.status, done.err) == (130, "interrupted\n")
    after = {name: data for name, data in snapshot(old).items() if "__pycache__" not in name}
    assert after == before
