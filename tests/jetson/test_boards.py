# SPDX-License-Identifier: Apache-2.0
"""The board table: complete, consistent, honest about what is not confirmed."""

from __future__ import annotations

import pytest

from edge_trt_jetson import boards, versions
from edge_trt_jetson.boards import Board

ALL = pytest.mark.parametrize("board", boards.all_boards(), ids=lambda board: board.name)


@ALL
def test_every_value_has_a_described_source(board: Board) -> None:
    for name, fact in board.facts.items():
        assert fact.source in boards.sources(), name
        assert getattr(board, name) == fact.value


@ALL
def test_values_fit_each_other(board: Board) -> None:
    assert (board.dla_cores == 0) == (board.dla_version == 0)
    assert (
        board.soc
        == {
            (5, 3): "tegra210",
            (6, 2): "tegra186",
            (7, 2): "tegra194",
            (8, 7): "tegra234",
            (11, 0): "tegra264",
        }[board.compute_capability]
    )
    # Volta has 64 CUDA cores per multiprocessor, the other generations here 128.
    assert board.cuda_cores == board.sms * (64 if board.sm == "7.2" else 128)


@ALL
def test_its_jetpacks_are_built_for_its_gpu(board: Board) -> None:
    shipped = [r for r in versions.known() if r.jetpack.startswith(board.jetpack)]
    assert shipped
    for line in board.jetpack:
        assert any(r.jetpack.startswith(line) and board.sm in r.architectures for r in shipped)


def test_names_and_part_numbers_are_unique() -> None:
    names = [board.name for board in boards.all_boards()]
    parts = [part for board in boards.all_boards() for part in board.modules]
    assert len(names) == len(set(names))
    assert len(parts) == len(set(parts))


def test_no_dla_is_claimed_where_there_is_none() -> None:
    without = {board.family for board in boards.all_boards() if board.dla_cores == 0}
    assert {"orin-nano", "thor", "nano", "tx2"} <= without
    assert without.isdisjoint({"orin-nx", "agx-orin", "xavier-nx", "agx-xavier"})


def test_targets_are_the_boards_with_python_310() -> None:
    newest = {
        board.name: max(r.python_version for r in versions.known() if board.sm in r.architectures)
        for board in boards.all_boards()
    }
    assert boards.targets() == tuple(name for name, python in newest.items() if python >= (3, 10))


def test_lookups() -> None:
    nx = boards.find("orin-nx-8gb")
    assert nx is not None
    assert nx.fact("dla_cores") == boards.Fact(1, "specification", certain=False)
    assert "dla_cores" in nx.unsure()
    assert boards.find_module("p3767-0001") is nx
    assert boards.find("orin") is None
    with pytest.raises(KeyError):
        nx.fact("title")
