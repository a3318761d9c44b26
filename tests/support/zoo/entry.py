# SPDX-License-Identifier: Apache-2.0
"""One model of the zoo: how it is made, and what it is fed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from tests.support.compare import relative_error
from tests.support.eager import Arguments, outputs
from tests.support.zoo.randomise import has_batch_norm, randomise

Feed = Callable[[torch.Generator, int, int], Arguments]
"""Makes random arguments from a generator, a batch size and the side of an image."""

Comparison = Callable[[Sequence[torch.Tensor], Sequence[torch.Tensor]], float]
"""The error of some outputs against those of eager."""

Expectation = Callable[[nn.Module, Arguments, Sequence[torch.Tensor]], list[torch.Tensor]]
"""What eager gives for some arguments, given what was found."""


def in_order(results: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """Largest relative error of any output."""
    return max(map(relative_error, results, expected))


def whatever_was_found(
    model: nn.Module, arguments: Arguments, found: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """What eager gives."""
    return outputs(model, arguments)


def image(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """A batch of images [batch, 3, size, size] of unit variance."""
    return (torch.randn(batch, 3, size, size, generator=generator),)


@dataclass(frozen=True)
class Entry:
    """One model: its name, the table it stands in, its factory, and its arguments.

    `size` is the side of its square image where it takes one, and 0 where it does not; `adjust`
    changes weights that random numbers make useless, with a sample; `expect` is what eager gives,
    and `compare` the error of a model's outputs against it.
    """

    name: str
    group: str
    make: Callable[[], nn.Module] = field(repr=False)
    size: int = 224
    feed: Feed = field(default=image, repr=False)
    adjust: Callable[[nn.Module, Arguments], None] | None = field(default=None, repr=False)
    expect: Expectation = field(default=whatever_was_found, repr=False)
    compare: Comparison = field(default=in_order, repr=False)

    def build(self) -> nn.Module:
        """The model in eval mode, the same one every time."""
        with torch.random.fork_rng():
            torch.manual_seed(zlib.crc32(self.name.encode()))
            model = self.make().eval()
            sample = self.arguments(batch=4, seed=1) if has_batch_norm(model) else None
            randomise(model, sample)
            if self.adjust is not None:
                self.adjust(model, self.arguments(seed=1))
        return model.eval()

    def arguments(self, batch: int = 1, seed: int = 0) -> Arguments:
        """Random arguments, the same ones for the same seed."""
        return self.feed(torch.Generator().manual_seed(seed), batch, self.size)

    def example(self, batch: int = 1, seed: int = 0) -> torch.Tensor:
        """The image batch of a model that takes nothing else."""
        arguments = self.arguments(batch, seed)
        (tensor,) = arguments.values() if isinstance(arguments, Mapping) else arguments
        return tensor
