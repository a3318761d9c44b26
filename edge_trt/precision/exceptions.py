# SPDX-License-Identifier: Apache-2.0
"""The user's own list of layers that stay at a higher precision."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from edge_trt.errors import OptionError
from edge_trt.network.graph import Network, Node
from edge_trt.network.layer import Layer
from edge_trt.precision.sites import Keep, weighted

if TYPE_CHECKING:
    from edge_trt.options import CompileOptions


class Patterns:
    """Says of a node which pattern keeps it at a higher precision.

    A pattern is a layer kind in any case (`softmax`), the path of a module with `*` and `?`
    (`head`, `blocks.*.attn`), which means everything inside that module too, or a layer's name.

    Args:
        patterns: the patterns.
        option: the option that they come from, for the reason.
        words: further patterns, each for the one layer that it names.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        option: str = "fp32_layers",
        words: Mapping[str, Node] | None = None,
    ) -> None:
        self.patterns = tuple(patterns)
        self.option = option
        self._words = words or {}

    def __call__(self, node: Node) -> str | None:
        """The reason, or None if no pattern matches."""
        pattern = next((p for p in self.patterns if self._matches(p, node)), None)
        return None if pattern is None else f"asked for by {self.option} pattern {pattern!r}"

    def check(self, networks: Iterable[Network]) -> None:
        """Refuses patterns that match nothing.

        Raises:
            OptionError: naming the first one, and the names closest to it.
        """
        for pattern, close in self.unmatched(networks).items():
            hint = f"close names: {', '.join(close)}" if close else "see edge_trt inspect --network"
            raise OptionError(
                f"{self.option} pattern {pattern!r} matches no layer",
                option=self.option,
                matches=close,
                hint=hint,
            )

    def unmatched(self, networks: Iterable[Network]) -> dict[str, list[str]]:
        """Patterns that match no layer of these networks, each with the names closest to it."""
        nodes = [node for network in networks for node in network.nodes]
        lost = [p for p in self.patterns if not any(self._matches(p, node) for node in nodes)]
        known = sorted({n.origin.module for n in nodes} | set(Layer.kinds) | set(self._words))
        return {p: difflib.get_close_matches(p, known) for p in lost}

    def _matches(self, pattern: str, node: Node) -> bool:
        named = self._words.get(pattern)
        return _matches(pattern, node) if named is None else named is node


def exact_name(network: Network, node: Node) -> str:
    """A name that no other layer of the model has, nor any module: `block0/conv2d_1`."""
    return f"{network.name}/{node.name}"


def exceptions(networks: Sequence[Network], options: CompileOptions) -> Keep:
    """The user's exceptions: what stays fp32, and what is not to be int8."""
    nodes = [node for network in networks for node in weighted(network)]
    words = {"first": nodes[0], "last": nodes[-1]} if nodes else {}
    words |= {exact_name(network, node): node for network in networks for node in weighted(network)}
    rules = (
        Patterns(tuple(options.fp32_layers)),
        Patterns(tuple(options.int8_except), "int8_except", words),
    )
    for rule in rules:
        rule.check(networks)
    return lambda node: next(filter(None, (rule(node) for rule in rules)), None)


def _matches(pattern: str, node: Node) -> bool:
    if pattern == node.name or fnmatchcase(node.layer.kind.lower(), pattern.lower()):
        return True
    module = node.origin.module
    within = pattern.removesuffix(".*")
    return fnmatchcase(module, within) or fnmatchcase(module, f"{within}.*")
