# SPDX-License-Identifier: Apache-2.0
"""Every notebook runs from its first cell to its last, and is kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.examples.test_examples import EXAMPLES, run

NOTEBOOKS = sorted(EXAMPLES.glob("notebooks/*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(EXAMPLES)
    program = "\n\n".join("".join(cell["source"]) for cell in cells(path, "code"))
    (tmp_path / "cells.py").write_text(program)
    run(tmp_path, "cells.py")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_explains_and_has_no_outputs(path: Path) -> None:
    assert all(cell["outputs"] == [] for cell in cells(path, "code"))
    assert len(cells(path, "markdown")) >= len(cells(path, "code")) - 2
    assert path.name in (EXAMPLES / "README.md").read_text()


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    """The cells of a kind, in order."""
    found: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]
