# SPDX-License-Identifier: Apache-2.0
"""Several optimization profiles in one bundle: what is asked for, built, shown and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import edge_trt
from edge_trt import Input, InputError, OptionError
from edge_trt.engines.tensorrt import BuildSettings, build_plan, load_flavour
from edge_trt_runtime import load, run_self_test
from edge_trt_runtime.describe import describe
from edge_trt_runtime.manifest import Range
from tests.pipeline.models import net

SIZES = Input(("batch", 3, "h", "w"), min={"batch": 1, "h": 8, "w": 8},
              opt={"batch": 4, "h": 16, "w": 16}, max={"batch": 8, "h": 32, "w": 32})  # fmt: skip
TWO = ["batch=1,h=8,w=8..8..16", {"batch": (4, 8, 8), "h": 16, "w": 16}]


def test_a_bundle_with_two_profiles(tmp_path: Path) -> None:
    model = net()
    bundle = edge_trt.compile(model, SIZES, profiles=TWO)
    path = bundle.save(tmp_path / "m.edge")
    assert bundle.options.profiles == ("batch=1,h=8,w=8..8..16", "batch=4..8..8,h=16,w=16")
    assert bundle.signature.dims == {
        "batch": Range(1, 1, 8), "h": Range(8, 8, 16), "w": Range(8, 8, 16)
    }  # fmt: skip
    first, second = bundle.signature.profiles
    assert first == {"batch": Range(1, 1, 1), "h": Range(8, 8, 8), "w": Range(8, 8, 16)}
    assert second == {"batch": Range(4, 8, 8), "h": Range(16, 16, 16), "w": Range(16, 16, 16)}
    assert all(result.passed for result in run_self_test(path))
    assert edge_trt.load(path).signature == bundle.signature
    with load(path) as session:
        assert "profile 1  batch 4..8, h 16, w 16" in describe(session.bundle)
        for shape in ((1, 3, 8, 8), (1, 3, 8, 11), (4, 3, 16, 16), (7, 3, 16, 16)):
            x = torch.randn(shape)
            (got,) = session.run({"image": x.numpy()}).values()
            np.testing.assert_allclose(got, model(x).detach().numpy(), rtol=1e-4, atol=1e-5)
        with pytest.raises(
            InputError, match="no profile of the bundle takes batch 2, h 8, w 8: its"
        ):
            session.run({"image": np.zeros((2, 3, 8, 8), np.float32)})
        with pytest.raises(InputError, match=r"which must be 8\.\.16"):
            session.run({"image": np.zeros((1, 3, 32, 8), np.float32)})


@pytest.mark.rtx
def test_the_builder_gets_each_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_trt.engines.tensorrt import profiles

    seen: list[object] = []
    plain = profiles.size_range

    def recorded(size, ranges, what):
        seen.append(ranges)
        return plain(size, ranges, what)

    monkeypatch.setattr(profiles, "size_range", recorded)
    bundle = edge_trt.compile(net(), SIZES, profiles=TWO, target="rtx")
    (plan,) = bundle.plans
    assert [ranges for i, ranges in enumerate(seen) if i % 4 == 0] == bundle.signature.profiles
    whole = build_plan(
        bundle.networks[0],
        flavour=load_flavour("tensorrt_rtx"),
        settings=BuildSettings(ranges=bundle.signature.dims),
    )
    assert bytes(plan.data) != bytes(whole.plan)


def test_a_dimension_left_out_keeps_its_range() -> None:
    bundle = edge_trt.compile(net(), SIZES, profiles="h=8", dryrun=True)
    assert bundle.signature.profiles == [
        {"batch": Range(1, 4, 8), "h": Range(8, 8, 8), "w": Range(8, 16, 32)}
    ]


@pytest.mark.parametrize(
    ("profiles", "says"),
    [
        (["bach=1"], "names 'bach', which is no dimension .* did you mean 'batch'"),
        (["batch=1..9"], r"sizes of 'batch' outside of 1\.\.8: widen"),
        (["batch=1", {"batch": 1}, "batch=1..1"], "given twice"),
        (["batch=4..2"], "can't read 'batch=4..2' in the profile"),
        (["batch=1,batch=2"], "can't read 'batch=2'"),
        ([""], "a profile is empty"),
        ([{"batch": (1, 2, 3, 4)}], "can't read 'batch=1..2..3..4'"),
    ],
)
def test_what_is_no_profile(profiles, says) -> None:
    with pytest.raises(OptionError, match=says):
        edge_trt.compile(net(), SIZES, profiles=profiles, dryrun=True)


def test_profiles_of_fixed_sizes_need_ranges() -> None:
    with pytest.raises(OptionError, match="give the inputs ranges"):
        edge_trt.compile(net(), torch.zeros(1, 3, 8, 8), profiles="batch=1", dryrun=True)


def test_inspect_shows_profiles_and_states(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_trt.cli import main
    from tests.pipeline.test_states import Filter

    edge_trt.compile(net(), SIZES, profiles=TWO).save(tmp_path / "m.edge")
    assert main(["inspect", str(tmp_path / "m.edge")]) == 0
    assert "profile 1: batch 4..8, h 16, w 16" in capsys.readouterr().out
    edge_trt.compile(Filter().eval(), torch.randn(3), states="io").save(tmp_path / "s.edge")
    assert main(["inspect", str(tmp_path / "s.edge")]) == 0
    assert "state: output level_next of a run is input level of the next" in capsys.readouterr().out
