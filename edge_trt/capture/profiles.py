# SPDX-License-Identifier: Apache-2.0
"""Profiles: parts of the ranges that engines are tuned for, each by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import msgspec
import numpy as np
import torch

from edge_trt.errors import OptionError
from edge_trt.network.size_bounds import size_range
from edge_trt.option_values import read_profile
from edge_trt_runtime.manifest import Range
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    from edge_trt.capture.export import Captured
    from edge_trt.options import CompileOptions
    from edge_trt_runtime.manifest import Signature, TensorSpec


def profiled(captured: Captured, options: CompileOptions) -> Captured:
    """Return the captured model with the profiles asked for, and examples that one of them takes.

    Raises:
        OptionError: As `with_profiles`.
    """
    if not options.profiles:
        return captured
    signature = with_profiles(captured.signature, cast("tuple[str, ...]", options.profiles))
    pairs = zip(captured.examples, signature.inputs, strict=True)
    examples = tuple(_resized(example, spec, signature) for example, spec in pairs)
    return dataclasses.replace(captured, signature=signature, examples=examples)


def with_profiles(signature: Signature, texts: Iterable[str]) -> Signature:
    """Return the signature with profiles, and its ranges narrowed to what they cover.

    Args:
        signature: What the model takes.
        texts: Profiles as on the command line; a dimension that one leaves out has its whole range.

    Raises:
        OptionError: When a profile names no dimension, or sizes that the model does not take, or
            those of another profile.
    """
    profiles: list[dict[str, Range]] = []
    for text in texts:
        profile = _profile(signature, text)
        if profile in profiles:
            raise OptionError(
                f"the profile {text!r} is given twice", option="profiles", hint="leave one out"
            )
        profiles.append(profile)
    dims = {
        name: Range(
            min(profile[name].min for profile in profiles),
            profiles[0][name].opt,
            max(profile[name].max for profile in profiles),
            whole.step,
        )
        for name, whole in signature.dims.items()
    }
    return msgspec.structs.replace(signature, dims=dims, profiles=profiles)


def _profile(signature: Signature, text: str) -> dict[str, Range]:
    profile = dict(signature.dims)
    for name, ends in read_profile(text).items():
        whole = signature.dims.get(name)
        if whole is None:
            raise OptionError(
                f"the profile {text!r} names {name!r}, which is no dimension of the inputs",
                option="profiles",
                hint=did_you_mean(name, signature.dims)
                if signature.dims
                else "give the inputs ranges, as in --input image=batch:1..4..8x3x224x224",
            )
        if ends[0] < whole.min or ends[2] > whole.max or any(e % whole.step for e in ends):
            steps = f" in steps of {whole.step}" if whole.step > 1 else ""
            raise OptionError(
                f"the profile {text!r} has sizes of {name!r} outside of "
                f"{whole.min}..{whole.max}{steps}",
                option="profiles",
                hint="widen the range of the input, or narrow the profile",
            )
        profile[name] = Range(*ends, whole.step)
    return profile


def _resized(example: torch.Tensor, spec: TensorSpec, signature: Signature) -> torch.Tensor:
    """Return an example at the usual sizes: its values again, as often as they fit."""
    shape = [size_range(size, signature.dims, spec.name).opt for size in spec.shape]
    if list(example.shape) == shape:
        return example
    return torch.from_numpy(np.resize(example.numpy(), shape))
