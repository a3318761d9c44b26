# SPDX-License-Identifier: Apache-2.0
"""Calibration data in every form, and in every wrong one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_trt_calibration import CalibrationError, Feeds, InputSpec

IMAGE = InputSpec("image", "float32", ((1, 4), 3))
IDS = InputSpec("ids", "int64", ((1, 4),))
ROWS = np.arange(30, dtype=np.float32).reshape(10, 3)


def _files(folder: Path) -> Path:
    for i in range(3):
        np.save(folder / f"{i}.npy", ROWS[:2])
    return folder


def _npz(folder: Path) -> Path:
    np.savez(folder / "data.npz", image=ROWS)
    return folder / "data.npz"


FORMS: dict[str, Any] = {
    "array": (lambda _: ROWS, [4, 4, 2]),
    "mapping": (lambda _: {"image": ROWS, "label": ROWS}, [4, 4, 2]),
    "list of arrays": (lambda _: [ROWS[:2], ROWS[:5]], [2, 4, 1]),
    "tuples": (lambda _: [(ROWS[:1],), (ROWS[:3],)], [1, 3]),
    "with labels": (lambda _: [(ROWS[:1], np.zeros(1))], [1]),
    "tensors": (lambda _: [torch.from_numpy(ROWS[:2]).requires_grad_()], [2]),
    "float64": (lambda _: [ROWS[:2].astype(np.float64)], [2]),
    "function": (lambda _: lambda: iter([ROWS[:2], ROWS[:2]]), [2, 2]),
    "npy folder": (_files, [2, 2, 2]),
    "npz": (_npz, [4, 4, 2]),
    "text": (lambda folder: str(_npz(folder)), [4, 4, 2]),
}


@pytest.mark.parametrize(("data", "sizes"), FORMS.values(), ids=list(FORMS))
def test_forms(tmp_path: Path, data: Any, sizes: list[int]) -> None:
    feeds = Feeds(data(tmp_path), [IMAGE])
    for _ in range(2):
        assert [len(feed["image"]) for feed in feeds] == sizes
    assert all(feed["image"].dtype == np.float32 for feed in feeds)


def test_several_inputs_go_by_name_or_in_order() -> None:
    named = {"ids": np.arange(6), "image": ROWS[:6]}
    for data in (named, [(ROWS[:6], np.arange(6))], [named]):
        feeds = list(Feeds(data, [IMAGE, IDS]))
        assert [len(feed["image"]) for feed in feeds] == [4, 2]
        np.testing.assert_array_equal(np.concatenate([f["ids"] for f in feeds]), np.arange(6))


def test_a_model_of_one_size_leaves_out_what_is_left_over() -> None:
    feeds = list(Feeds(ROWS, [InputSpec("image", "float32", (4, 3))]))
    assert [len(feed["image"]) for feed in feeds] == [4, 4]


def _counts(data: Any, first: Any, **options: Any) -> tuple[list[int], Feeds]:
    feeds = Feeds(data, [InputSpec("image", "float32", (first, 3))], **options)
    return [len(feed["image"]) for feed in feeds], feeds


@pytest.mark.parametrize(
    ("data", "first", "sizes", "dropped"),
    [
        (ROWS, 4, [4, 4], 2),
        ([ROWS[:3], ROWS[:3], ROWS[:3]], 4, [4, 4], 1),
        ([ROWS[:1]] * 8, 4, [4, 4], 0),
        ([np.zeros((64, 3), np.float32)] * 4 + [np.zeros((44, 3), np.float32)], 64, [64] * 4, 44),
        (np.zeros((130, 3), np.float32), (4, 64), [44, 43, 43], 0),
        ([ROWS[:6], ROWS[:6]], (4, 5), [5, 5], 2),
        ([ROWS[:2], ROWS], (4, 64), [12], 0),
    ],
)
def test_what_is_left_over_goes_on_or_is_counted(
    data: Any, first: Any, sizes: list[int], dropped: int
) -> None:
    found, feeds = _counts(data, first)
    assert (found, feeds.dropped) == (sizes, dropped)
    rows = np.concatenate([feed["image"] for feed in feeds])
    given = np.concatenate(data if isinstance(data, list) else [data])
    np.testing.assert_array_equal(rows, given[: len(rows)])


def test_fewer_samples_than_the_model_takes_are_refused() -> None:
    with pytest.raises(CalibrationError, match="3 samples are fewer than the model takes at once"):
        _counts(ROWS[:3], 4)
    with pytest.raises(CalibrationError, match=r"image has shape \[3, 2\]"):
        _counts(ROWS[:3, :2], 4)


def test_samples_that_fill_up_are_counted() -> None:
    found, feeds = _counts(ROWS[:7], 2, fill=True)
    assert (found, feeds.added) == ([2, 2, 2, 2], 1)
    np.testing.assert_array_equal(list(feeds)[-1]["image"], ROWS[[6, 6]])
    assert _counts(ROWS[:8], 2, fill=True)[1].added == 0


def test_no_more_samples_than_asked_for() -> None:
    def endless() -> Iterator[np.ndarray]:
        yield ROWS[:6]
        yield ROWS[:6]
        pytest.fail("this one was not needed")

    assert _counts(endless, (1, 4), limit=7)[0] == [4, 2, 1]
    assert _counts(ROWS, 4, limit=6)[1].dropped == 2
    assert _counts(ROWS, (1, 4), limit=600)[0] == [4, 4, 2]


def test_inputs_that_disagree_about_a_size_are_refused() -> None:
    specs = [
        InputSpec("image", "float32", ((1, 4), 3), ("rows", None)),
        InputSpec("ids", "int64", ((1, 4),), ("rows",)),
    ]
    with pytest.raises(CalibrationError, match="batch 1: rows is 2 in image and 3 in ids"):
        list(Feeds([(ROWS[:2], np.arange(2)), (ROWS[:2], np.arange(3))], specs))


def test_a_generator_is_read_once() -> None:
    def batches() -> Iterator[np.ndarray]:
        yield ROWS[:2]

    feeds = Feeds(batches(), [IMAGE])
    assert len(list(feeds)) == 1
    with pytest.raises(CalibrationError, match="a generator, which can be read once") as caught:
        list(feeds)
    assert "without calling it" in caught.value.hint
    assert len(list(Feeds(batches, [IMAGE]))) == 1


NAN = ROWS[:2].copy()
NAN[1, 1] = np.nan

INFINITE = np.where(np.isnan(NAN), np.inf, NAN)

WRONG: dict[str, tuple[Any, str]] = {
    "number": (3, "int is no calibration data"),
    "shape": ([ROWS[:2, :2]], r"batch 0: image has shape \[2, 2\], the model takes float32"),
    "rank": ([ROWS[0]], r"batch 0: image has shape \[3\]"),
    "type": ([ROWS[:2] > 0], "batch 0: image is bool, the model takes float32"),
    "nan": ([ROWS[:2], NAN], "batch 1: image contains NaN: leave such samples out"),
    "infinity": ([ROWS[:2], INFINITE], "batch 1: image contains infinity: leave such samples out"),
    "missing": ([{"picture": ROWS}], "batch 0 lacks image: it has picture"),
    "too many": ([(ROWS, ROWS, ROWS)], "batch 0 has 3 elements, the model takes 1"),
    "ragged": ([[[[1], [2, 3]]]], "batch 0: image is no array"),
    "no file": ("missing.npy", "missing.npy can't be read: No such file"),
}


@pytest.mark.parametrize(("data", "message"), WRONG.values(), ids=list(WRONG))
def test_what_does_not_fit_is_refused(data: Any, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        list(Feeds(data, [IMAGE]))


def test_a_mask_may_be_minus_infinity() -> None:
    mask = np.where(ROWS[:2] > ROWS[:2].mean(), 0, -np.inf).astype(np.float32)
    assert len(list(Feeds([mask], [IMAGE]))) == 1


PIXELS = np.array([[0, 128, 255]])

ODD_PIXELS: dict[str, tuple[str, np.ndarray, str]] = {
    "too large": ("uint8", PIXELS + 1, "holds 1 to 256, beyond 0 to 255: convert it to uint8"),
    "negative": ("uint8", PIXELS - 1, "holds -1 to 254, beyond 0 to 255"),
    "fractions": ("uint8", PIXELS / 255, "holds fractions from 0 to 1: convert it"),
    "normalized": ("float32", PIXELS / 128 - 1, "holds -1 to 0.992188, and the model takes pixels"),
}


@pytest.mark.parametrize(("dtype", "data", "message"), ODD_PIXELS.values(), ids=list(ODD_PIXELS))
def test_what_is_no_pixel_is_refused(dtype: str, data: np.ndarray, message: str) -> None:
    spec = InputSpec("image", dtype, ((1, 4), 3), pixels=True)
    assert len(list(Feeds([PIXELS.astype(dtype)], [spec]))) == 1
    with pytest.raises(CalibrationError, match=f"batch 0: image .*{message}"):
        list(Feeds([data], [spec]))


STATE = InputSpec("state", "float32", (1, 3), initial=np.full((1, 3), 7, np.float32))


@pytest.mark.parametrize(
    ("batch", "rows", "value"),
    [
        (ROWS[:3], 3, 7),
        ((ROWS[:3],), 3, 7),
        ({"image": ROWS[:6]}, 4, 7),
        ((ROWS[:1], np.ones((1, 3), np.float32)), 1, 1),
        ({"image": ROWS[:1], "state": np.ones((1, 3), np.float32)}, 1, 1),
    ],
)
def test_a_state_is_the_first_one_where_a_batch_leaves_it_out(
    batch: Any, rows: int, value: float
) -> None:
    feed = next(iter(Feeds([batch], [IMAGE, STATE])))
    assert feed["image"].shape == (rows, 3)
    assert (feed["state"] == value).all()
    assert feed["state"].shape == (1, 3)


def test_one_array_for_two_inputs_is_refused() -> None:
    with pytest.raises(CalibrationError, match="one array, the model takes image, ids"):
        list(Feeds(ROWS, [IMAGE, IDS]))


def test_empty_folders_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"holds no data: it needs \.npy or \.npz"):
        Feeds(tmp_path, [IMAGE])
    np.savez(tmp_path / "o.npz", image=np.array([{}]))
    with pytest.raises(CalibrationError, match=r"Python objects: give a \.npy"):
        Feeds(tmp_path / "o.npz", [IMAGE])
    for text in ("text", "", "PK\x03\x04"):
        (tmp_path / "a.npy").write_text(text)
        with pytest.raises(CalibrationError, match=r"is no array file.* give a \.npy") as caught:
            Feeds(tmp_path / "a.npy", [IMAGE])
        assert "pickle" not in str(caught.value)
