# SPDX-License-Identifier: Apache-2.0
"""The zoo's tables, its measured record, and the document made from it."""

from __future__ import annotations

import math
import multiprocessing
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.support.zoo import ZOO
from tests.support.zoo.entry import Arguments, Entry
from tests.zoo import measure
from tests.zoo.record import Record, append, read, write
from tests.zoo.render import DOCUMENT, render
from tests.zoo.run import Limits, chosen, loss, wait

SMALL = ("transformers:bert", "transformers:llama", "others:yolo", "others:nerf", "others:pointnet")
"""Models measured with every `make test`."""

GOOD = Record("a", "timm", "1x3x8x8", 1_500_000, 1.0, 1.0, 1, 0, {}, 7, 2e-7, None, True, 1.0, 0.5)


@pytest.mark.rtx
@pytest.mark.filterwarnings("ignore")  # those of the libraries
@pytest.mark.parametrize("name", SMALL)
def test_a_small_model_is_one_block(name: str) -> None:
    record = Record(name, ZOO[name].group)
    stages = list(measure.measure(ZOO[name], record))
    assert stages == ["making the model", "compile", "run", "build"]
    assert record.single
    assert record.agrees
    assert record.built
    assert record.layers > 10


def test_the_zoo_is_large_enough() -> None:
    groups = Counter(entry.group.split()[0] for entry in ZOO.values())
    assert groups["torchvision"] >= 75
    assert groups["timm"] >= 150
    assert groups["transformers"] + groups["others"] >= 25


def test_arguments_are_the_same_every_time() -> None:
    one, two = (ZOO["others:transformer_encoder"].arguments(seed=3) for _ in range(2))
    assert isinstance(one, tuple)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_the_document_is_made_from_the_record() -> None:
    wanted = "run: python -m tests.zoo.run --render"
    assert DOCUMENT.read_text(encoding="utf-8") == render(list(read().values())), wanted


def test_the_record_is_of_the_zoo() -> None:
    assert list(read()) == [name for name in ZOO if name in read()]


def test_the_document_says_what_fails_and_why() -> None:
    hybrid = Record("b:x", "others", blocks=2, fallbacks=1, error=0.5, calls=0.9996, flops=1.0)
    costs = "runs on the host: in TensorRT it would save some 1 us and add 20 us of copies"
    hybrid.reasons = {
        "aten.x.default: no | converter": 3,
        "aten.y.default: aten.y: no | converter": 1,
        f"aten.z.Tensor: {costs} (3 kB)": 1,
        f"aten.z.Tensor: {costs} (4 kB)": 2,
    }
    text = render([GOOD, hybrid, Record("c", "others", failure="capture: it can't")])
    assert "| timm | 1 | 1 | 1 | 1 | 1 |" in text
    assert "| others | 2 | 1 | 0 | 0 | 0 |" in text
    assert "| all | 3 | 2 | 1 | 1 | 1 |" in text
    assert "- c: capture: it can't" in text
    assert "- b:x: relative error 5.0e-01" in text
    assert "| no \\| converter | aten.x.default (3), aten.y.default (1) | b:x |" in text
    assert "to and from the device take | aten.z.Tensor (3) | b:x |" in text
    assert "| x |  |  | 99.9 % | 100 % | 2 + 1 back |" in text
    assert "| a | 1x3x8x8 | 1.5 M | 100 % | 100 % | 1 | 7 | 2e-07 | yes | 1.0 s | 0.5 s |" in text


def test_what_rounding_alone_makes_is_no_disagreement() -> None:
    assert Record("a", "x", error=9e-5).agrees
    assert not Record("a", "x", error=2e-4).agrees
    assert Record("a", "x", error=2e-4, rounding=1.5e-4).agrees
    assert not Record("a", "x", error=4e-4, rounding=1.5e-4).agrees
    assert not Record("a", "x").agrees
    assert not Record("a", "x", error=math.inf, rounding=math.inf).agrees
    line = render([Record("a", "x", blocks=1, error=2e-4, rounding=1.2e-4)]).splitlines()[-1]
    assert "| 2e-04 (eager 1e-04) | no |" in line
    module = torch.nn.Linear(8, 8)

    def rows(generator: torch.Generator, batch: int, size: int) -> Arguments:
        return (torch.randn(4, 8, generator=generator),)

    entry = Entry("a", "x", lambda: module, feed=rows)
    assert 0 < measure.own_error(entry, module, seed=0) < 1e-5


def test_the_last_line_of_a_model_counts(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert read(path) == {}
    write([GOOD, Record("b", "timm")], path)
    append(Record("b", "timm", failure="broken"), path)
    assert read(path) == {"a": GOOD, "b": Record("b", "timm", failure="broken")}


def test_what_was_measured_is_left_out_when_a_run_is_resumed() -> None:
    first, second = list(ZOO)[:2]
    done = {first: GOOD, second: Record(second, "x", failure="broken")}
    assert chosen([], done) == list(ZOO)[1:]
    assert chosen(["others:y*"], {}) == ["others:yolo"]
    assert chosen(["others:y*", "resnet18"], {}) == ["resnet18", "others:yolo"]
    with pytest.raises(SystemExit, match=r"zoo is named 'resnet81'.*'resnet18'"):
        chosen(["others:y*", "resnet81"], {})


def test_a_model_that_loses_something_is_named() -> None:
    assert loss(GOOD, GOOD) == loss(None, GOOD) == ""
    assert loss(GOOD, Record("a", "timm", failure="broken")) == (
        "a no longer agrees with eager, is one block, is built: broken"
    )


@pytest.mark.parametrize(
    ("limits", "reason"),
    [(Limits(0.1, 100), "in 0.1 s"), (Limits(100, 0.0001), "within 0.0001 GB")],
)
def test_a_process_beyond_its_limits_is_ended(limits: Limits, reason: str) -> None:
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    process.start()
    assert wait(process, limits) == reason
    assert not process.is_alive()


def test_an_output_of_one_number_is_refused() -> None:
    assert measure.hides_errors(torch.zeros(3))
    assert measure.hides_errors(torch.zeros(0, 4))
    assert not measure.hides_errors(torch.zeros(1))
    assert not measure.hides_errors(torch.ones(3, dtype=torch.long))
    assert not measure.hides_errors(torch.arange(3.0))
