# SPDX-License-Identifier: Apache-2.0
"""A compiled model as a ``torch.nn.Module``, called as the model that it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.utils import _pytree as pytree

from edge_trt.capture.trees import Path, constant_entry, flatten_with_paths, path_text
from edge_trt.errors import InputError
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    import numpy as np

    from edge_trt_runtime.manifest import Signature


class Runnable(Protocol):
    """What runs: an ``edge_trt_runtime.Session``."""

    @property
    def signature(self) -> Signature:
        """Names, types and calling convention."""
        ...

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once."""
        ...

    def initial_states(self) -> dict[str, np.ndarray]:
        """Return the first value of each state."""
        ...

    def next_states(self, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return what a run left for the next one."""
        ...


class BundleModule(torch.nn.Module):
    """Takes and returns torch tensors, nested as the original model takes and returns them.

    Arguments may be passed by position or by name, and dicts in any order. Constants of the
    captured call (flags, ``None``, numbers) must be passed again, with the values of then.
    Buffers that were made states are kept from call to call, as the model keeps them.
    Outputs are on the device of the first input tensor and carry no gradient.
    """

    def __init__(self, session: Runnable) -> None:
        """Read the calling convention from the session's signature."""
        super().__init__()
        self._session = session
        call = json.loads(session.signature.in_tree)
        self._positional: list[str] = call["positional"]
        self._leaves: dict[Path, dict[str, Any]] = {
            tuple(leaf["path"]): leaf for leaf in call["leaves"]
        }
        self._known = [*self._positional, *(str(path[0]) for path in self._leaves)]
        self._states: dict[str, np.ndarray] = session.initial_states()
        result = json.loads(session.signature.out_tree)
        self._results: list[dict[str, Any]] = result["leaves"]
        self._result_spec = pytree.treespec_loads(result["spec"])

    @property
    def session(self) -> Runnable:
        """The session behind."""
        return self._session

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the compiled model.

        Raises:
            InputError: When the call is not the one that was captured, or a tensor does not fit
                the signature.
        """
        arrays: dict[str, np.ndarray] = {}
        device: torch.device | None = None
        given = dict(flatten_with_paths(self._by_name(args, kwargs)))
        for path, leaf in self._leaves.items():
            if path not in given:
                raise _missing(path, leaf)
            value = given[path]
            if "input" not in leaf:
                _check_constant(path, leaf, value)
                continue
            if not isinstance(value, torch.Tensor):
                kind = type(value).__name__
                raise InputError(
                    f"{path_text(path)} is {kind}, and a tensor is expected", name=leaf["input"]
                )
            device = device or value.device
            arrays[leaf["input"]] = _to_numpy(leaf["input"], value)
        for path in given:
            if path not in self._leaves:
                raise InputError(
                    f"{path_text(path)} was no part of the captured call", name=path_text(path)
                )
        outputs = self._session.run({**arrays, **self._states})
        self._states = self._session.next_states(outputs)
        return self._nested(outputs, device)

    def reset(self) -> None:
        """Give the buffers that the model writes to the values that they were captured with."""
        self._states = self._session.initial_states()

    def extra_repr(self) -> str:
        """Show names, types and shapes."""
        signature = self._session.signature
        specs = [f"{s.name}: {s.dtype}{s.shape}" for s in signature.inputs]
        results = [f"{s.name}: {s.dtype}{s.shape}" for s in signature.outputs]
        return f"({', '.join(specs)}) -> ({', '.join(results)})"

    def _by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by the names of their parameters."""
        if len(args) > len(self._positional):
            raise InputError(
                f"{len(args)} positional arguments, and the captured call had "
                f"{len(self._positional)} ({', '.join(self._positional) or 'none'})"
            )
        named = dict(zip(self._positional, args, strict=False))
        for name, value in kwargs.items():
            if name in named:
                raise InputError(f"{name!r} is given twice", name=name)
            if name not in self._known:
                raise InputError(
                    f"{name!r} was no part of the captured call",
                    name=name,
                    hint=did_you_mean(name, dict.fromkeys(self._known)),
                )
            named[name] = value
        return named

    def _nested(self, outputs: dict[str, np.ndarray], device: torch.device | None) -> Any:
        """Return outputs and constants nested as the model returns them."""
        values = [
            torch.as_tensor(outputs[leaf["output"]]).to(device)
            if "output" in leaf
            else leaf.get("constant", leaf.get("text"))
            for leaf in self._results
        ]
        return pytree.tree_unflatten(values, self._result_spec)


def _missing(path: Path, leaf: Mapping[str, Any]) -> InputError:
    """Return the error about an argument that is not there."""
    name = path_text(path)
    if "input" in leaf:
        return InputError(f"{name} is missing", name=leaf["input"], hint="give a tensor")
    value = leaf.get("constant", leaf.get("text"))
    return InputError(f"{name} is missing", name=name, hint=f"it was captured as {value!r}")


def _check_constant(path: Path, leaf: Mapping[str, Any], value: object) -> None:
    """Refuse another value than the one that is part of the engine."""
    given = constant_entry(value)
    was = {key: leaf[key] for key in given if key in leaf}
    # JSON text, so that True is not 1 and NaN equals itself.
    if json.dumps(was) != json.dumps(given):
        before = leaf.get("constant", leaf.get("text"))
        now = "a tensor" if isinstance(value, torch.Tensor) else repr(value)
        raise InputError(
            f"{path_text(path)} is {now}, and it was captured as {before!r}",
            name=path_text(path),
            expected=repr(before),
            got=now,
            hint="compile the model again with the other value",
        )


def _to_numpy(name: str, tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor's values, without a copy where it is on the CPU."""
    try:
        return tensor.detach().cpu().resolve_conj().resolve_neg().numpy()
    except TypeError as error:
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise InputError(
            f"{name!r} is {dtype}, which numpy lacks", name=name, hint="cast it to float32"
        ) from error
