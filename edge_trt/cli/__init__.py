# SPDX-License-Identifier: Apache-2.0
"""The command line: one module per command, imported when that command is called.

A command module has ``add_arguments(parser)`` and ``run(arguments) -> int``. The help of the whole
program needs none of them, so it is there at once, also where numpy, rich or PyTorch are missing.

Exit status: 0 done; 1 refused or failed, with one ``error:`` line; 2 wrong usage; 130 interrupted.
``EDGE_TRT_DEBUG=1`` lets the traceback through.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from edge_trt._version import __version__

COMMANDS = {
    "build": "compile a model into a bundle",
    "calibrate": "measure int8 ranges on sample data, merge and convert them",
    "tune": "put as many layers into int8 as a metric allows",
    "run": "run a bundle on files",
    "inspect": "show what is in a bundle",
    "verify": "check a bundle's files, and its results against the recorded ones",
    "bench": "measure a bundle here: latency, throughput, energy, heat; compare two records",
    "sign": "sign a bundle with an Ed25519 key, so that devices can tell that it is yours",
    "doctor": "show what is installed here, what it allows, and what is missing",
    "boards": "list the Jetson boards and what they have",
    "monitor": "show load, clocks, power, temperatures and memory as they are now",
    "power": "show the power modes of this board, or change the mode",
}

# What to install for a module that is missing, where its name does not say it.
SOURCES = {
    "torch": "'edge-trt[torch]'",
    "onnx": "'edge-trt[cpu]'",
    "onnxruntime": "'edge-trt[cpu]'",
    "tensorrt_rtx": "'edge-trt[rtx]'",
    "timm": "'edge-trt[models]'",
    "torchvision": "'edge-trt[models]'",
    "PIL": "pillow",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; those of the process by default.

    Returns:
        The exit status.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = _parser(given).parse_args(given)
        status: int = arguments.run(arguments)
        sys.stdout.flush()  # a closed pipe shows here, and not in the interpreter's exit
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (`head`, `less`) has left; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("EDGE_TRT_DEBUG") == "1":
            raise
        print(f"error: {explain(error)}", file=sys.stderr)
        return 1
    return status


def explain(error: Exception) -> str:
    """Say in one sentence what went wrong and what to do."""
    name = (getattr(error, "name", None) or "").split(".")[0]
    if isinstance(error, ModuleNotFoundError) and name and not name.startswith("edge_trt"):
        return f"{name} is not installed: pip install {SOURCES.get(name, name)}"
    from edge_trt_jetson.errors import BoardError
    from edge_trt_runtime.errors import EdgeTrtError

    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    if isinstance(error, EdgeTrtError | BoardError | OSError):
        return str(error)
    text = f"{type(error).__name__}: {error}"
    return f"{text} (not foreseen; EDGE_TRT_DEBUG=1 shows where, please report it)"


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge_trt",
        description="Compile PyTorch models on any machine, and run them on NVIDIA Jetson.",
        epilog="`edge_trt COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"edge_trt {__version__}")
    commands: Any = parser.add_subparsers(metavar="COMMAND", required=True)
    # The first word that is no option: only its module is imported.
    chosen = next((word for word in argv if not word.startswith("-")), None)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if name == chosen:
            module = import_module(f"edge_trt.cli.{name}")
            command.formatter_class = argparse.RawDescriptionHelpFormatter
            # The first line of its docstring is the description above; the rest explains.
            command.epilog = (module.__doc__ or "").partition("\n\n")[2]
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser
