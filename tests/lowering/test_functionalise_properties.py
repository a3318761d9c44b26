# SPDX-License-Identifier: Apache-2.0
"""Random programs of views and writes: whatever shares memory, the result equals eager's."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_trt.lowering import lower
from edge_trt.lowering.edit import writes
from tests.lowering.graphs import agree, check, export

VIEWS = {
    "first": lambda t: t[0] if t.dim() > 1 else t,
    "tail": lambda t: t[1:] if t.shape[0] > 1 else t,
    "columns": lambda t: t[..., ::2],
    "flip_dims": lambda t: t.transpose(0, -1),
    "flat": lambda t: t.reshape(-1),
    "wrapped": lambda t: t.unsqueeze(0),
    "unwrapped": lambda t: t.squeeze(),
    "half": lambda t: t.chunk(2, -1)[-1],
    "row": lambda t: t.unbind(0)[-1] if t.dim() > 1 else t,
    "same": lambda t: torch.nn.functional.dropout(t, 0.5, training=False),
    "detached": lambda t: t.detach(),
    "copied": lambda t: t.contiguous(),
    "fresh": lambda t: t.clone(),
    "new": lambda t: t + 0.25,
    "zeros": lambda t: torch.zeros_like(t),
}
WRITES = {
    "double": lambda t, other: t.mul_(2),
    "shift": lambda t, other: t.add_(1.5),
    "relu": lambda t, other: t.relu_(),
    "fill": lambda t, other: t.fill_(3.0),
    "mask": lambda t, other: t.masked_fill_(t > 0.5, -1.0),
    "add": lambda t, other: t.add_(other.sum()),
    "copy": lambda t, other: t.copy_(other.mean().expand(t.shape)),
    # on an object of its own: what `dropout` returns in eval mode is the same Python object as its
    # input and would change shape with it, which no exported program expresses
    "wrap": lambda t, other: t.detach().unsqueeze_(0).mul_(2),
}


@st.composite
def programs(draw):
    """Draw steps: each makes a value of an earlier one by a view, or writes to one."""
    steps = []
    count = 2
    for _ in range(draw(st.integers(2, 9))):
        source = draw(st.integers(0, count - 1))
        if draw(st.booleans()):
            steps.append((draw(st.sampled_from(sorted(VIEWS))), source, 0))
        else:
            other = draw(st.integers(0, count - 1))
            steps.append((draw(st.sampled_from(sorted(WRITES))), source, other))
        count += 1
    return steps


def run(steps):
    def program(x):
        values = [x * 1.0, torch.zeros(4, 6)]
        for name, source, other in steps:
            if name in VIEWS:
                values.append(VIEWS[name](values[source]))
            else:
                values.append(WRITES[name](values[source], values[other]))
        return tuple(value * 1.0 for value in values)

    return program


@settings(max_examples=60)
@given(programs())
def test_result_equals_eager(steps):
    program = run(steps)
    x = torch.randn(4, 6)
    gm = lower(export(program, x))
    check(gm)
    assert not any(writes(node.target) for node in gm.graph.nodes)
    agree(gm, program, x)
