# SPDX-License-Identifier: Apache-2.0
"""House rules that no other tool holds: sizes, licence lines, and a guide that tells the truth."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("edge_trt", "runtime", "calibration", "jetson", "tests", "examples")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MAX_FILE, MAX_FUNCTION = 400, 40

GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
BLOCKS = re.compile(r"^ *```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SNIPPETS = [textwrap.dedent(block) for block in BLOCKS.findall(GUIDE)]


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_files_are_found() -> None:
    assert len(FILES) > 50


def test_every_file_names_its_licence() -> None:
    without = [
        label(path)
        for path in FILES
        if "SPDX-License-Identifier: Apache-2.0" not in "".join(path.read_text()[:200])
    ]
    assert without == []


def test_files_are_short() -> None:
    lines = {label(path): len(path.read_text().splitlines()) for path in FILES}
    assert {name: count for name, count in lines.items() if count > MAX_FILE} == {}


def test_functions_are_short() -> None:
    long: dict[str, int] = {}
    for path in FILES:
        if label(path).startswith("tests/"):  # tables of cases may be long
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                count = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                if count > MAX_FUNCTION:
                    long[f"{label(path)}:{node.lineno} {node.name}"] = count
    assert long == {}


def test_guide_names_files_that_exist() -> None:
    named = re.findall(r"`((?:edge_trt|runtime|jetson|tests|calibration)/[\w/.<>{},-]+)`", GUIDE)
    assert named
    for path in named:
        pattern = re.sub(r"<\w+>", "*", path)
        assert list(ROOT.glob(pattern)), path


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.split("\n")[0][2:])
def test_guide_quotes_the_code(snippet: str) -> None:
    """A snippet starts with the name of its file, and stands in it word for word."""
    head, _, code = snippet.partition("\n")
    assert code.strip() in (ROOT / head.removeprefix("# ")).read_text()


def test_guide_has_quotes() -> None:
    assert len(SNIPPETS) >= 4
