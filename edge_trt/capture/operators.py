# SPDX-License-Identifier: Apache-2.0
"""Operators by the names that people write."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING

import torch

from edge_trt.errors import OptionError
from edge_trt_runtime.names import close_matches, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from torch._ops import OpOverload

_CALL = re.compile(rb'"target": ?"torch\.ops\.(\w+\.\w+)\.\w+"')
"""A call as torch.export writes it."""


def find_operators(name: str) -> tuple[OpOverload, ...]:
    """Return what ``aten.gelu``, ``aten.add.Tensor``, ``aten::gelu`` or ``gelu`` means.

    Args:
        name: Namespace (``aten`` when left out), operator and, optionally, overload.

    Raises:
        OptionError: When there is no such operator or overload; the text holds close matches.
    """
    dotted = name.removeprefix("torch.ops.").replace("::", ".")
    parts = dotted.split(".")
    packet = _packet(parts[:2]) if len(parts) > 1 else None
    if packet is not None and len(parts) <= 3:
        overloads = packet.overloads()
        if len(parts) == 2:
            return tuple(getattr(packet, overload) for overload in overloads)
        if parts[2] in overloads:
            return (getattr(packet, parts[2]),)
        full = [f"{parts[0]}.{parts[1]}.{overload}" for overload in overloads]
        raise _unknown(name, dotted, full)
    packet = _packet(["aten", parts[0]])
    if packet is not None and len(parts) <= 2:
        return find_operators(f"aten.{dotted}")
    dotted = dotted if len(parts) > 1 else f"aten.{dotted}"
    raise _unknown(name, dotted, [full.replace("::", ".") for full in _all_names()])


def undeclared(path: Path) -> list[str]:
    """Return the operators that a file of ``torch.export.save`` calls and nobody has declared."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        graphs = [archive.read(name) for name in archive.namelist() if name.endswith(".json")]
    called = {
        tuple(found.decode().split(".")) for graph in graphs for found in _CALL.findall(graph)
    }
    return [".".join(parts) for parts in sorted(called) if _packet(list(parts)) is None]


def _packet(parts: list[str]) -> torch._ops.OpOverloadPacket | None:
    """Return the operator packet of a namespace and a name."""
    namespace, operator = parts
    if not operator.isidentifier() or not namespace.isidentifier():
        return None
    packet = getattr(getattr(torch.ops, namespace), operator, None)
    return packet if isinstance(packet, torch._ops.OpOverloadPacket) else None


def _all_names() -> list[str]:
    """Return every registered operator as ``namespace::name``, overloads left out."""
    names = torch._C._dispatch_get_all_op_names()
    return sorted({name.partition(".")[0] for name in names})


def _unknown(name: str, dotted: str, known: list[str]) -> OptionError:
    """Return the error about an operator that does not exist."""
    matches = close_matches(dotted, known)
    hint = did_you_mean(dotted, matches) if matches else "write it as aten.gelu or aten.add.Tensor"
    return OptionError(
        f"unknown operator {name!r}", option="fallback_ops", matches=matches, hint=hint
    )
