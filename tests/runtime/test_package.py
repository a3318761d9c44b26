# SPDX-License-Identifier: Apache-2.0
"""The package from outside: what it imports, exports, and needs."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import edge_trt_runtime

FOLDER = Path(edge_trt_runtime.__file__).parent


def modules_after(code: str) -> set[str]:
    """Top-level names in sys.modules of a fresh process, without those that its start-up made.

    Names that Cython makes up (``cython_runtime``) have no spec: they were not imported.
    """
    program = f"""
        import sys
        before = {{name.partition(".")[0] for name in sys.modules}}
        {code}
        import json
        found = {{name for name, module in sys.modules.items() if getattr(module, '__spec__', 0)}}
        print(json.dumps(sorted({{name.partition(".")[0] for name in found}} - before)))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(result.stdout))


@pytest.mark.parametrize(
    "code",
    [
        "import edge_trt_runtime",
        "from edge_trt_runtime import *",
        "import edge_trt_runtime.__main__, edge_trt_runtime.executors.onnx",
    ],
)
def test_only_numpy_and_msgspec_are_imported(code: str) -> None:
    # msgspec looks for typing_extensions where it is installed; it is not a dependency.
    allowed = {"edge_trt_runtime", "numpy", "msgspec", "typing_extensions"}
    assert modules_after(code) - set(sys.stdlib_module_names) <= allowed


def test_public_names_resolve_and_know_themselves() -> None:
    assert len(set(edge_trt_runtime.__all__)) == len(edge_trt_runtime.__all__)
    for name in edge_trt_runtime.__all__:
        assert getattr(edge_trt_runtime, name).__name__ == name
    assert set(edge_trt_runtime.__all__) <= set(dir(edge_trt_runtime))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = edge_trt_runtime.nothing


def test_public_classes_and_functions_are_documented() -> None:
    for name in edge_trt_runtime.__all__:
        assert getattr(edge_trt_runtime, name).__doc__, name


def test_is_typed() -> None:
    assert (FOLDER / "py.typed").exists()


def test_names_are_grouped_under_type_checking_too() -> None:
    source = (FOLDER / "__init__.py").read_text()
    imports = source.partition("if TYPE_CHECKING:")[2].partition("__version__")[0]
    for name in edge_trt_runtime.__all__:
        assert name in imports, name
