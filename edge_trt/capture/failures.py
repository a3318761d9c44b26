# SPDX-License-Identifier: Apache-2.0
"""From an exception out of the user's code, or of torch.export, to one that says what to do."""

from __future__ import annotations

import re
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edge_trt.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge_trt.capture.call import TensorArgument

_HERE = str(Path(__file__).parent)
_TORCH = str(Path(torch.__file__).parent)
_STDLIB = sysconfig.get_paths()["stdlib"]
_LONGEST = 300

_DATA_DEPENDENT = (
    r"Could not guard on data-dependent|data-dependent expression|Dynamic control flow"
)
_REMEDIES: tuple[tuple[str, str], ...] = (
    (
        _DATA_DEPENDENT,
        (
            "use torch.where or a mask to choose between values, torch.cond to choose between "
            "computations, constants or shapes where .item() or .tolist() gives a size, and "
            "x.shape[0] where len(x) does"
        ),
    ),
    (
        r"argument 'size' failed to unpack the object",  # the states, whose batch is packed
        (
            "packed sequences have no export: give recurrent layers the padded batch, and pick "
            "the valid steps of their results (the last ones with torch.gather)"
        ),
    ),
    (
        r"sorted order of strides of the two branches",
        "end both branches of torch.cond with .contiguous()",
    ),
    (
        r"Encountered aliasing during higher order op",
        "no branch of torch.cond may give its input or a view of it: end it with .clone()",
    ),
    (
        r"\.numpy\(\)|numpy|data pointer|Cannot access data|\.tolist\(\)",
        (
            "values leave torch (numpy, .tolist(), a data pointer) in forward: do the same with "
            "torch functions, or do it outside of the model"
        ),
    ),
    (
        r"Unsupported input type|register_dataclass|register_pytree_node",
        (
            "pass tensors, numbers, and lists, tuples or dicts of them, or register the class with "
            "torch.export.register_dataclass"
        ),
    ),
    (
        r"Expected all tensors to be on the same device|found at least two devices",
        "make tensors inside forward on the device of the input (x.new_zeros, device=x.device)",
    ),
    (
        r"same dtype|scalar type|expected .* but found|Half|BFloat16",
        (
            "weights and inputs differ in type: give inputs of the weights' type, "
            "as in Input(..., dtype='float16')"
        ),
    ),
    (
        (
            r"unsupported operator|NotImplementedError|no fake impl|Meta.*kernel|"
            r"not supported by the meta|Could not run"
        ),
        "an operator has no shape function: register one with torch.library.register_fake",
    ),
    (
        (
            r"size mismatch|shapes? cannot be multiplied|reduction dim|Given groups|"
            r"Mismatch|broadcast|shape .* is invalid"
        ),
        "check the sizes of the inputs against what the model expects",
    ),
)
_OTHERWISE = (
    "torch.export traces forward once: keep it to torch operators whose control flow depends on "
    "shapes and constants only"
)


def located(error: BaseException, what: str) -> CaptureError:
    """Return an error that says what failed, why, and in which line of the user's code."""
    line, source = user_line(error)
    return CaptureError(f"{what}: {_reason(error)}{line}", source=source)


def explain(error: BaseException, tensors: Sequence[TensorArgument]) -> CaptureError:
    """Return the error for a failed export, with the user's line and the usual remedy.

    Args:
        error: What torch.export raised.
        tensors: The arguments of the call, whose sizes and types the text repeats.
    """
    reason, (line, source) = _reason(error), user_line(error)
    text = f"{type(error).__name__} {error}"
    remedy = next((hint for pattern, hint in _REMEDIES if re.search(pattern, text)), _OTHERWISE)
    given = ", ".join(
        f"{t.label} {str(t.traced.dtype).removeprefix('torch.')}{list(t.traced.shape)}"
        for t in tensors
    )
    message = f"torch.export can't take the model: {reason}{line} (inputs: {given or 'none'})"
    return CaptureError(message, source=source, hint=remedy)


def user_line(error: BaseException) -> tuple[str, str]:
    """Return `` at file:line in f: code`` and ``file:line`` of the innermost frame of the user."""
    found: traceback.FrameSummary | None = None
    for chained in _chain(error):
        frames = traceback.extract_tb(chained.__traceback__)
        mine = [frame for frame in frames if _is_user_code(frame.filename)]
        # Frames below the call of capture(): its caller is in no traceback that starts there.
        found = mine[-1] if mine else found
        if isinstance(chained, SyntaxError) and chained.filename:
            source = f"{chained.filename}:{chained.lineno}"
            return f" at {source}: {(chained.text or '').strip()}", source
    if found is None:
        return "", ""
    source = f"{found.filename}:{found.lineno}"
    return f" at {source} in {found.name}: {found.line}", source


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it came from, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _is_user_code(filename: str) -> bool:
    """Whether a file is neither torch's, nor Python's, nor ours."""
    if filename.startswith(("<", _TORCH, _HERE)):
        return False
    return not filename.startswith(_STDLIB) or "site-packages" in filename


def _reason(error: BaseException) -> str:
    """Return the first sentence of what an exception says."""
    if type(error).__module__ == "torch._dynamo.exc":  # branches of torch.cond are traced by it
        *_, error = _chain(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = (lines[0] if lines else type(error).__name__).rstrip(".")
    if re.search(_DATA_DEPENDENT, first):
        return "its control flow or a size depends on the values of a tensor"
    first = first if len(first) <= _LONGEST else f"{first[:_LONGEST]}..."
    plain = isinstance(error, RuntimeError | ValueError) or not lines
    return first if plain else f"{type(error).__name__}: {first}"
