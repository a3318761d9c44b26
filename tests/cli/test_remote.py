# SPDX-License-Identifier: Apache-2.0
"""`edge_trt build BUNDLE --on board`, with an ssh and an rsync that reach a folder of this machine.

They do what the real ones are documented to do with the flags that are used, in a few lines, and
fail where a test wants it. That a board answers is not shown.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_trt._version import __version__
from edge_trt_runtime.bundle import open_bundle
from tests.cli.conftest import Command

SSH = """
import os, subprocess, sys
words, calls = sys.argv[1:], open(os.environ["CALLS"], "a")
while words and words[0].startswith("-"):
    flag = words.pop(0)
    if flag in ("-o", "-O"):
        words.pop(0)
        if flag == "-O":
            sys.exit(0)
host, *command = words
calls.write(f"ssh {host} {' '.join(command)}".replace("\\n", "; ") + "\\n")
if os.environ.get("FAIL") and os.environ["FAIL"] in " ".join(command):
    sys.exit(255)
home = os.environ["BOARD"]
there = {**os.environ, "HOME": home}
sys.exit(subprocess.call(["sh", "-c", " ".join(command)], cwd=home, env=there))
"""

RSYNC = """
import os, shutil, sys
from pathlib import Path
flags = [w for w in sys.argv[1:] if w.startswith("-")]
source, target = sys.argv[-2:]
link = next((Path(f.partition("=")[2]) for f in flags if f.startswith("--link-dest=")), None)
calls = open(os.environ["CALLS"], "a")
local = lambda p: Path(os.environ["BOARD"], p.partition(":")[2]) if ":" in p else Path(p)
if os.environ.get("FAIL") == ("pull" if ":" in source else "push"):
    print("rsync: connection unexpectedly closed", file=sys.stderr)
    sys.exit(12)
source, target = local(source), local(target)
known = lambda f, g: g.exists() and (g.stat().st_size, int(g.stat().st_mtime)) == (
    f.stat().st_size, int(f.stat().st_mtime))
if "--delete" in flags and target.exists():
    for file in [p for p in target.rglob("*") if p.is_file()]:
        if not (source / file.relative_to(target)).exists():
            file.unlink()
for file in [p for p in source.rglob("*") if p.is_file()]:
    name = file.relative_to(source)
    to = target / name
    to.parent.mkdir(parents=True, exist_ok=True)
    if link and known(file, link / name):
        os.link(link / name, to)
    elif not known(file, to):
        calls.write(f"sent {name}\\n")
        shutil.copy2(file, to)
"""


@dataclass(frozen=True)
class Network:
    """What is on the way to the board, and its home folder."""

    home: Path
    log: Path

    def calls(self, word: str) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.removeprefix(word).strip() for line in lines if line.startswith(word)]


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    folder, home = tmp_path / "bin", tmp_path / "home"
    home.mkdir()
    folder.mkdir()
    for name, code in (("ssh", SSH), ("rsync", RSYNC)):
        file = folder / name
        file.write_text(f"#!{sys.executable}\n{code}")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    edge_trt = folder / "edge_trt"
    edge_trt.write_text(f'#!/bin/sh\nexec {sys.executable} -m edge_trt "$@"\n')
    edge_trt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("BOARD", str(home))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return Network(home, tmp_path / "calls")


@pytest.mark.rtx
def test_a_bundle_is_built_over_there(bundle: Path, network: Network, edge_trt: Command) -> None:
    weights = bundle / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    done = edge_trt(
        "build", bundle, "--on", "me@orin", "--target", "rtx", "--optimization-level", "0"
    )
    assert done.status == 0, done.err
    assert f"back from me@orin:\n{bundle}: " in done.out
    engines = open_bundle(bundle).manifest.engines
    assert {e.target for e in engines} == {"cpu", "rtx"}
    open_bundle(bundle).verify()
    assert weights.stat().st_mtime_ns == before
    sent = network.calls("sent")
    assert sent.count("weights.safetensors") == 1  # there, and not back
    assert any(name.endswith(".plan") for name in sent)
    (build,) = [call for call in network.calls("ssh") if " build " in call]
    assert "model.edge --target rtx --optimization-level 0 <" in build
    assert [*network.home.rglob("*.edge")] == []
    assert {p.name for p in bundle.parent.iterdir()} == {"model.edge", "bin", "home", "calls"}


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        ("--version", "ssh can't reach me@orin"),
        ("push", "rsync could not copy"),
        ("edge_trt build", "ssh can't reach me@orin, or lost it"),
        ("pull", "rsync could not copy"),
    ],
)
def test_a_failure_midway_leaves_the_bundle(
    fail: str, message: str, bundle: Path, network: Network, edge_trt: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    before = {p: p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    monkeypatch.setenv("FAIL", fail)
    done = edge_trt("build", bundle, "--on", "me@orin", "--target", "cpu")
    assert done.status == 1
    assert message in done.err
    assert "Traceback" not in done.err
    assert {p: p.read_bytes() for p in bundle.rglob("*") if p.is_file()} == before
    assert [p.name for p in bundle.parent.iterdir() if p.name.startswith("model")] == ["model.edge"]
    if fail == "pull":  # what is left there is used, or in nobody's way
        monkeypatch.delenv("FAIL")
        assert edge_trt("build", bundle, "--on", "me@orin", "--target", "cpu").status == 0


def test_what_can_not_be_removed_there_is_a_warning(
    bundle: Path, network: Network, edge_trt: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "rm -rf")
    done = edge_trt("build", bundle, "--on", "me@orin", "--target", "cpu")
    assert done.status == 0, done.err
    assert "the bundle is complete here; me@orin keeps ~/.cache/edge_trt/remote/" in done.err


@pytest.mark.parametrize("signal_sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_without_a_terminal_the_build_there_ends_with_ours(
    signal_sent: signal.Signals, bundle: Path, network: Network
) -> None:
    slow = network.home / "edge_trt"
    slow.write_text(
        f'#!/bin/sh\ntest "$1" = build || exec echo edge_trt {__version__}\n'
        "echo $$ > ~/pid\nexec sleep 60\n"
    )
    slow.chmod(0o755)
    words = ["build", str(bundle), "--on", "me@orin", "--remote-command", "~/edge_trt"]
    command = [sys.executable, "-m", "edge_trt", *words]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as ours:
        pid = network.home / "pid"
        _wait_until(lambda: pid.exists() and bool(pid.read_text()))
        ours.send_signal(signal_sent)
        ours.communicate(timeout=30)
    there = int(pid.read_text())
    _wait_until(lambda: not Path("/proc", str(there)).exists())
    open_bundle(bundle).verify()


def _wait_until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it does not happen")


def test_a_build_that_fails_there(bundle: Path, network: Network, edge_trt: Command) -> None:
    done = edge_trt("build", bundle, "--on", "me@orin", "--target", "nano-4gb")
    assert "can't be a target" in done.err  # found here, before anything is sent
    assert network.calls("ssh") == []
    broken = network.home / "edge_trt"
    broken.write_text(f'#!/bin/sh\ntest "$1" = build && exit 3\necho edge_trt {__version__}\n')
    broken.chmod(0o755)
    done = edge_trt("build", bundle, "--on", "me@orin", "--remote-command", "~/edge_trt")
    assert done.status == 1
    assert "me@orin could not build it (status 3)" in done.err
    assert "from the engines that are kept there, if any were complete" in done.err
    assert len([*network.home.rglob("model.edge")]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--remote-command", "~/nowhere/edge_trt"], "~/nowhere/edge_trt is not found on me@orin"),
        (["--remote-command", "true"], "me@orin does not have edge_trt "),
        (["--precision", "fp16"], "is a bundle already, so --precision can't change it"),
    ],
)
def test_refusals(
    arguments: list[str], message: str, bundle: Path, network: Network, edge_trt: Command
) -> None:
    done = edge_trt("build", bundle, "--on", "me@orin", *arguments)
    assert done.status == 1
    assert message in done.err


def test_only_bundles_and_hosts(bundle: Path, network: Network, edge_trt: Command) -> None:
    before = (bundle / "manifest.json").read_bytes()
    assert edge_trt("build", bundle, "--on", "").status == 1  # not a build here
    assert (bundle / "manifest.json").read_bytes() == before
    done = edge_trt("build", "timm:resnet18", "--on", "me@orin", "-o", bundle)
    assert "timm:resnet18 is none" in done.err
    assert "'-oProxyCommand=x' is no host" in edge_trt("build", bundle, "--on=-oProxyCommand=x").err


def test_tools_that_are_missing(
    bundle: Path, edge_trt: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = edge_trt("build", bundle, "--on", "me@orin")
    assert "--on needs ssh: sudo apt-get install ssh" in done.err.replace(" (", ": ").rstrip(")\n")
