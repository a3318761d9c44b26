# SPDX-License-Identifier: Apache-2.0
"""Running commands in this process, and a bundle to run them on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_trt.cli import main
from tests.cli import bundles


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


class Command:
    """Calls the command line and hands back what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Done:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse: usage errors and --help
            status = int(stop.code or 0)
        return Done(status, *self._capsys.readouterr())


@pytest.fixture
def edge_trt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.delenv("EDGE_TRT_DEBUG", raising=False)
    return Command(capsys)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundles.write(tmp_path / "model.edge")


# A finder that refuses modules, put in front before anything of ours is imported.
BLOCKER = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from edge_trt.cli import main
sys.exit(main({argv!r}))
"""


def run_without(blocked: list[str], *argv: str) -> subprocess.CompletedProcess[str]:
    code = BLOCKER.format(blocked=blocked, argv=list(argv))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
