# SPDX-License-Identifier: Apache-2.0
"""What is in the wheels, what they ask for, and that they work where nothing else is installed."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edge_trt._version import __version__
from edge_trt_jetson import boards
from tests.cli import bundles

ROOT = Path(__file__).parents[2]
FOLDERS = {"edge-trt": ".", "edge-trt-runtime": "runtime", "edge-trt-jetson": "jetson"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel of each distribution, built by the backend that is installed here."""
    built: dict[str, Path] = {}
    for name, folder in FOLDERS.items():
        target = tmp_path_factory.mktemp(name)
        code = f"from hatchling.build import build_wheel; print(build_wheel({str(target)!r}))"
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=ROOT / folder, capture_output=True, text=True, check=True
        )
        built[name] = target / done.stdout.split()[-1]
    return built


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def read_metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(path).decode())


def base_requirements(wheel: Path) -> dict[str, str]:
    """Requirements without an extra: name to version specifier."""
    parsed = map(Requirement, read_metadata(wheel).get_all("Requires-Dist") or [])
    return {
        canonicalize_name(r.name): str(r.specifier) for r in parsed if "extra" not in str(r.marker)
    }


def needs_before_311(wheel: Path) -> set[str]:
    """What Python 3.10 needs and 3.11 does not."""
    parsed = map(Requirement, read_metadata(wheel).get_all("Requires-Dist") or [])
    marked = [r for r in parsed if r.marker and "extra" not in str(r.marker)]
    old, new = ({"python_version": version} for version in ("3.10", "3.11"))
    return {r.name for r in marked if r.marker and r.marker.evaluate(old) > r.marker.evaluate(new)}


def test_wheels_pin_each_other(wheels: dict[str, Path]) -> None:
    base = base_requirements(wheels["edge-trt"])
    assert base["edge-trt-runtime"] == f"=={__version__}"
    assert base["edge-trt-jetson"] == f"=={__version__}"
    assert set(base) == {
        "numpy",
        "msgspec",
        "ml-dtypes",
        "rich",
        "tomli",
        "edge-trt-runtime",
        "edge-trt-jetson",
    }
    assert set(base_requirements(wheels["edge-trt-runtime"])) == {"numpy", "msgspec"}
    assert set(base_requirements(wheels["edge-trt-jetson"])) == {"tomli"}
    for wheel in (wheels["edge-trt"], wheels["edge-trt-jetson"]):
        assert needs_before_311(wheel) == {"tomli"}


@pytest.mark.parametrize("name", FOLDERS)
def test_metadata(wheels: dict[str, Path], name: str) -> None:
    fields = read_metadata(wheels[name])
    text = fields.as_string()
    assert fields["Version"] == __version__
    assert fields["License-Expression"] == "Apache-2.0"
    assert "file:" not in text
    assert not any(Requirement(r).name == "tensorrt" for r in fields.get_all("Requires-Dist") or [])


def test_each_file_belongs_to_one_wheel(wheels: dict[str, Path]) -> None:
    packages = {
        name: {path.split("/")[0] for path in names(wheel) if ".dist-info/" not in path}
        for name, wheel in wheels.items()
    }
    assert packages == {
        "edge-trt": {"edge_trt", "edge_trt_calibration"},
        "edge-trt-runtime": {"edge_trt_runtime"},
        "edge-trt-jetson": {"edge_trt_jetson"},
    }


def test_data_files_are_shipped(wheels: dict[str, Path]) -> None:
    for wheel in wheels.values():
        assert any(path.endswith("licenses/LICENSE") for path in names(wheel))
    assert {"edge_trt/py.typed", "edge_trt_calibration/py.typed"} <= set(names(wheels["edge-trt"]))
    assert "edge_trt_runtime/py.typed" in names(wheels["edge-trt-runtime"])
    assert {
        "edge_trt_jetson/py.typed",
        "edge_trt_jetson/data/index.toml",
        "edge_trt_jetson/data/versions.toml",
        *(f"edge_trt_jetson/data/boards/{board.name}.toml" for board in boards.all_boards()),
    } <= set(names(wheels["edge-trt-jetson"]))


def test_editable_install_asks_for_no_sister() -> None:
    required = {Requirement(r).name for r in metadata.requires("edge-trt") or []}
    assert "numpy" in required
    assert required.isdisjoint({"edge-trt-runtime", "edge-trt-jetson"})


class Environment:
    """A fresh virtual environment that has only what is lent to it."""

    def __init__(self, root: Path) -> None:
        venv.create(root, with_pip=False, symlinks=True)
        self.python = root / "bin/python"
        self.site = next((root / "lib").glob("python*")) / "site-packages"

    def lend(self, *distributions: str) -> None:
        """Link distributions of this environment into the fresh one: no index is needed."""
        for name in distributions:
            found = metadata.distribution(name)
            for top in {path.parts[0] for path in found.files or [] if ".." not in path.parts}:
                source = Path(str(found.locate_file(top)))
                if top != "__pycache__":
                    (self.site / top).symlink_to(source)

    def install(self, *wheels: Path) -> None:
        """Install wheels with the requirements that are there; a further one would fail."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "--quiet"]
        command = [*pip, "install", "--no-index", "--disable-pip-version-check", *map(str, wheels)]
        subprocess.run(command, check=True, capture_output=True, text=True)

    def run(self, *arguments: object) -> str:
        command = [str(self.python), "-I", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


IMPORT_ALL = """
import importlib, pkgutil, sys
import {package}
for module in pkgutil.walk_packages({package}.__path__, "{package}."):
    importlib.import_module(module.name)
print(sorted({{"torch", "onnx", "onnxruntime", "numpy", "msgspec", "edge_trt"}} & set(sys.modules)))
"""


def test_runtime_alone(wheels: dict[str, Path], tmp_path: Path) -> None:
    fresh = Environment(tmp_path / "venv")
    fresh.lend("numpy", "msgspec")
    fresh.install(wheels["edge-trt-runtime"])
    assert fresh.run("-c", IMPORT_ALL.format(package="edge_trt_runtime")).strip() == (
        "['msgspec', 'numpy']"
    )
    bundle = bundles.write(tmp_path / "model.edge")
    assert "scores" in fresh.run("-m", "edge_trt_runtime", bundle)


def test_jetson_alone(wheels: dict[str, Path], tmp_path: Path) -> None:
    fresh = Environment(tmp_path / "venv")
    fresh.install(wheels["edge-trt-jetson"])
    assert fresh.run("-c", IMPORT_ALL.format(package="edge_trt_jetson")).strip() == "[]"


def test_a_hybrid_bundle_without_torch(wheels: dict[str, Path], tmp_path: Path) -> None:
    """What TensorRT lacks runs in ONNX Runtime, with the runtime's wheel and nothing of torch."""
    import edge_trt
    from tests.pipeline.models import X, hybrid

    bundle = edge_trt.compile(hybrid(), (X,)).save(tmp_path / "model.edge")
    fresh = Environment(tmp_path / "venv")
    fresh.lend("numpy", "msgspec", "onnxruntime", "flatbuffers", "protobuf", "packaging")
    fresh.install(wheels["edge-trt-runtime"])
    code = (
        "import sys, edge_trt_runtime; results = edge_trt_runtime.run_self_test(sys.argv[1]); "
        "print([r.passed for r in results], 'torch' in sys.modules)"
    )
    assert fresh.run("-c", code, bundle).strip() == "[True, True] False"


def test_board_without_torch(wheels: dict[str, Path], tmp_path: Path) -> None:
    """A board that finishes builds: everything but torch; the commands for bundles work there."""
    fresh = Environment(tmp_path / "venv")
    fresh.lend("numpy", "msgspec", "ml_dtypes", "rich", "pygments", "markdown-it-py", "mdurl")
    fresh.lend("onnxruntime", "flatbuffers", "protobuf", "packaging")
    fresh.install(*wheels.values())
    bundle = bundles.write(tmp_path / "model.edge")
    assert "agx-orin-64gb" in fresh.run("-m", "edge_trt", "boards")
    assert "edge-trt[torch]" in fresh.run("-m", "edge_trt", "doctor")
    assert "Reduce" in fresh.run("-m", "edge_trt", "inspect", bundle, "--network")
    assert "passed" in fresh.run("-m", "edge_trt", "verify", bundle)
    build = [str(fresh.python), "-I", "-m", "edge_trt", "build", "m.py:f", "-o", "m.edge"]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: torch is not installed: pip install 'edge-trt[torch]'\n"
