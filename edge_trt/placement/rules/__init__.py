# SPDX-License-Identifier: Apache-2.0
"""The rules of the DLA as data: predicates by layer kind, and statements on whole loadables."""

from __future__ import annotations

from edge_trt.network.layer import Layer
from edge_trt.placement.rule import Rule, Statement
from edge_trt.placement.rules.general import EVERY, NEVER
from edge_trt.placement.rules.pointwise import POINTWISE
from edge_trt.placement.rules.products import PRODUCTS
from edge_trt.placement.rules.windows import WINDOWS

RULES: tuple[Rule, ...] = (*EVERY, *NEVER, *PRODUCTS, *POINTWISE, *WINDOWS)
"""Every rule, in the order in which they are asked."""

LOADABLES = 16
"""Loadables that one core holds; older documentation says 4."""
SLACK = 2
"""Loadables of a core that are left to other engines."""
NON_IO_BYTES = 1 << 30
"""Of the tensors inside a loadable together."""
WEIGHT_BYTES = 512 << 20
"""Default size of the pool for weights of a loadable."""

STATEMENTS = (
    Statement(
        "G5", f"A core holds at most {LOADABLES} loadables (older documentation: 4); what is "
        "beyond goes to the GPU.", "docs-11 issues",
        f"planner: at most {LOADABLES - SLACK} for all networks and streams of a bundle",
    ),
    Statement("G6", "All layers of a loadable have one batch size.", "docs-11", "planner: regions"),
    Statement(
        "G7", "The tensors inside of a loadable take less than 1 GiB together.", "header",
        "planner: such a region runs on the GPU",
    ),
    Statement(
        "G8", "Weights of a loadable fit into its pool of global memory, 512 MiB by default.",
        "header docs-8", "planner: such a region runs on the GPU",
    ),
    Statement(
        "G10", "In int8 every tensor has one symmetric scale; a layer that lacks one computes in "
        "fp16.", "docs-8 dla-sw", "verdict: precision of a layer, and its cost",
    ),
    Statement(
        "G12", "Asymmetric uint8 needs a flag of the parser, Orin, and DLA software 3.16.",
        "samples docs-11", "edge_trt quantizes symmetrically",
    ),
    Statement(
        "G13", "With GPU fallback allowed, what the DLA refuses moves to the GPU with a warning "
        "only.", "docs-8", "the inspector's list is compared with the plan after a build",
    ),
    Statement(
        "G14", "The DLA compiler also refuses by internal limits: the rules are necessary, not "
        "sufficient.", "docs-8", "canRunOnDLA is asked on the board",
    ),
    Statement(
        "G15", "CUDA graphs can't hold work of a DLA.", "samples",
        "runtime: lanes outside of graphs",
    ),
    Statement(
        "G16", "An engine is bound to the kind of device; the core is chosen before it is "
        "deserialized.", "header issues", "runtime: Runtime.DLA_core",
    ),
    Statement(
        "G17", "Weights of a loadable can't be exchanged (refit).", "unsure", "engines are not "
        "refitted", certain=False,
    ),
)  # fmt: skip
"""What holds for loadables and engines."""


def rules_for(kind: type[Layer]) -> tuple[Rule, ...]:
    """The rules that a layer of this kind is asked, in their order."""
    return tuple(rule for rule in RULES if not rule.kinds or kind in rule.kinds)


def rule(name: str) -> Rule:
    """The rule of that id."""
    return next(rule for rule in RULES if rule.id == name)


__all__ = ["LOADABLES", "RULES", "SLACK", "STATEMENTS", "rule", "rules_for"]
