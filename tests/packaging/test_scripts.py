# SPDX-License-Identifier: Apache-2.0
"""Scripts that need more than a machine may have say so, and are no failure there."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(platform.machine() == "aarch64", reason="an arm64 machine emulates nothing")
@pytest.mark.parametrize("missing", ["qemu-aarch64-static", "debootstrap"])
def test_arm64_suite_is_skipped_where_its_tools_are_missing(missing: str, tmp_path: Path) -> None:
    for tool in {"dirname", "uname"}:
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    for tool in {"qemu-aarch64-static", "debootstrap"} - {missing}:
        (tmp_path / tool).symlink_to("/bin/false")
    (tmp_path / "python").symlink_to("/bin/false")
    path = str(tmp_path)
    ended = subprocess.run(
        ["/bin/sh", ROOT / "tests/aarch64/run.sh"],
        env={"PATH": path, "ROOT": f"{path}/arm64", "PYTHON": f"{path}/python"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended
    assert ended.stderr.startswith(f"skipped: {missing} is not installed: apt-get install")
