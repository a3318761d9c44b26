# SPDX-License-Identifier: Apache-2.0
"""The calling convention of a model as JSON: how tensors and constants are nested.

``Signature.in_tree`` lists the flattened arguments by their path from a parameter's name, so that a
call matches however its arguments are passed and its dicts are ordered::

    {"positional": ["x"], "leaves": [{"path": ["x"], "input": "x"},
                                     {"path": ["flag"], "constant": true}]}

``Signature.out_tree`` holds the spec of the result (``torch.utils._pytree``) and its leaves::

    {"spec": "[1, {...}]", "leaves": [{"output": "out"}, {"constant": null}]}
"""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict
from typing import TYPE_CHECKING, Any, cast

from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Path = tuple["str | int", ...]


def flatten_with_paths(tree: Any) -> list[tuple[Path, Any]]:
    """Return the leaves of a pytree with their paths as plain keys."""
    flat, _ = pytree.tree_flatten_with_path(tree)
    return [(tuple(_key(entry) for entry in path), leaf) for path, leaf in flat]


def _key(entry: Any) -> str | int:
    """Return a path entry as text or number."""
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            value = getattr(entry, attribute)
            return value if isinstance(value, str | int) else str(value)
    return str(entry)


def path_text(path: Path) -> str:
    """Write a path as people do: ``batch['ids'][0]``."""
    return str(path[0]) + "".join(f"[{key!r}]" for key in path[1:])


def constant_entry(value: object) -> dict[str, Any]:
    """Return the JSON form of a constant among inputs or outputs."""
    if value is None or isinstance(value, bool | int | float | str):
        return {"constant": value}
    return {"text": repr(value)}


def in_tree_text(
    spec: pytree.TreeSpec, names: Sequence[str], leaves: Sequence[Mapping[str, Any]]
) -> str:
    """Write ``Signature.in_tree``.

    Args:
        spec: Spec of ``(args, kwargs)``.
        names: Names of the positional and then of the keyword arguments.
        leaves: ``{"input": name}`` or a constant per leaf, in order.
    """
    args, kwargs = pytree.tree_unflatten(range(len(leaves)), spec)
    positional = list(names[: len(args)])
    tree = {**dict(zip(positional, args, strict=True)), **kwargs}
    paths = {leaf: list(path) for path, leaf in flatten_with_paths(tree)}
    entries = [{"path": paths[index], **leaf} for index, leaf in enumerate(leaves)]
    return json.dumps({"positional": positional, "leaves": entries})


def out_tree_text(spec: pytree.TreeSpec, leaves: Sequence[Mapping[str, Any]]) -> str:
    """Write ``Signature.out_tree``.

    A class that pytree can't write (a named tuple, or a dataclass registered without a serialized
    name) becomes a tuple, or a dict when its fields have names.
    """
    try:
        text = pytree.treespec_dumps(spec)
    except (NotImplementedError, TypeError):
        plain = _plain(pytree.tree_unflatten(range(len(leaves)), spec))
        text = pytree.treespec_dumps(pytree.tree_structure(plain))
    return json.dumps({"spec": text, "leaves": list(leaves)})


def _plain(tree: Any) -> Any:
    """Return a pytree with lists, tuples and dicts in place of every other class."""
    if type(tree) in (list, tuple):
        return type(tree)(_plain(child) for child in tree)
    if isinstance(tree, dict | OrderedDict | defaultdict):
        return {key: _plain(child) for key, child in cast("dict[Any, Any]", tree).items()}
    if pytree.tree_is_leaf(tree):
        return tree
    if isinstance(tree, tuple):
        return tuple(_plain(child) for child in cast("tuple[Any, ...]", tree))
    children, _ = pytree.tree_flatten_with_path(tree, is_leaf=lambda node: node is not tree)
    keys = [_key(path[0]) for path, _ in children]
    values = [_plain(child) for _, child in children]
    if all(isinstance(key, str) for key in keys):
        return dict(zip(keys, values, strict=True))
    return tuple(values)
