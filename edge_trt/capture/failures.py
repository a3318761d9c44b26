# SPDX-License-Identifier: Apache-2.0
"""From an exception out of the user's code, or of torch.export, to one that says what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge_trt.capture import gradients
from edge_trt.capture.images import ImageInput, for_channels
from edge_trt.capture.mixed_types import ON_THE_LINE, remedy_for_types
from edge_trt.errors import CaptureError
from edge_trt.user_code import chain, reason, user_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from edge_trt.capture.call import TensorArgument

_DATA_DEPENDENT = (
    r"Could not guard on data-dependent|data-dependent expression|Dynamic control flow"
)
_OPEN = r"Pending unbacked symbols"
_REMEDIES: tuple[tuple[str, str], ...] = (
    (gradients.LOST, gradients.REMEDY),
    (
        r"Found <class '[^']*Cache'> in output",  # of Hugging Face's transformers
        (
            "keep the cache out of the outputs, as in model.config.use_cache = False, or wrap the "
            "model in a module that returns tensors"
        ),
    ),
    (
        _DATA_DEPENDENT,
        (
            "use torch.where or a mask to choose between values, torch.cond to choose between "
            "computations, constants or shapes where .item() or .tolist() gives a size, and "
            "x.shape[0] where len(x) does"
        ),
    ),
    (
        r"quantized nyi in meta tensors",
        (
            "a reference model of quantization has tensors that no export knows: make it by "
            "torch.ao.quantization.quantize_fx._convert_to_reference_decomposed_fx, or compile "
            "the float model by precision='int8'"
        ),
    ),
    (
        _OPEN,
        (
            "fix the size that it is made of (torch.combinations takes a known number), or keep "
            "all elements and mark those that count by a mask"
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
        r"Input-to-input aliasing detected",
        (
            "no two inputs of torch.cond may share memory: clone() what a branch reads that is a "
            "view of something else that it reads"
        ),
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
        r"'indices' to have one of the following scalar types",
        "give an input of indices as whole numbers, as in Input(..., dtype='int64')",
    ),
    (
        (
            r"same dtype|match weight dtype|scalar type|expected .* but found|should be the same|"
            r"Type promoting|Half|BFloat16"
        ),
        ON_THE_LINE,
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
            r"Mismatch|must match the size|broadcast|shape .* is invalid"
        ),
        "check the sizes of the inputs against what the model expects",
    ),
)
_OTHERWISE = (
    "torch.export traces forward once: keep it to torch operators whose control flow depends on "
    "shapes and constants only"
)


def explain(
    error: BaseException, tensors: Sequence[TensorArgument], model: nn.Module
) -> CaptureError:
    """Return the error for a failed export, with the user's line and the usual remedy.

    Args:
        error: What torch.export raised.
        tensors: The arguments of the call, whose sizes and types the text repeats.
        model: What was exported.
    """
    why, (line, source) = _reason(error), user_line(error)
    text = f"{type(error).__name__} {error}"
    usual = next((hint for pattern, hint in _REMEDIES if re.search(pattern, text)), _OTHERWISE)
    if usual is ON_THE_LINE:
        usual = remedy_for_types(error, model.parameters(), (t.traced for t in tensors))
    remedy = _remedy_for_images(text, tensors) or _remedy_for_places(text, line) or usual
    given = ", ".join(
        f"{t.label} {str(t.traced.dtype).removeprefix('torch.')}{list(t.traced.shape)}"
        for t in tensors
    )
    message = f"torch.export can't take the model: {why}{line} (inputs: {given or 'none'})"
    return CaptureError(message, source=source, hint=remedy)


def _reason(error: BaseException) -> str:
    """Return the first sentence of what an exception says, in words of the user's code."""
    if type(error).__module__ == "torch._dynamo.exc":  # branches of torch.cond are traced by it
        *_, error = chain(error)
    first = str(error).strip().partition("\n")[0]
    if re.search(_DATA_DEPENDENT, first):
        return "its control flow or a size depends on the values of a tensor"
    if re.search(_OPEN, first):
        return "it makes a tensor whose size only its values tell"
    return gradients.REASON if re.search(gradients.LOST, first) else reason(error)


def _remedy_for_places(text: str, line: str) -> str | None:
    """Return what to say of a line that writes to a place, or reads one, that a tensor gives."""
    if not re.search(_DATA_DEPENDENT, text):
        return None
    if re.search(r"\[[^\]'\"]*[A-Za-z_][^\]'\"]*\] *[-+*/@]?=(?!=)", line):
        return (
            "write to a place that a tensor gives by index_copy_, as in "
            "self.k.index_copy_(1, self.n.reshape(1), x), x having one row there"
        )
    return None


def _remedy_for_images(text: str, tensors: Sequence[TensorArgument]) -> str | None:
    """Return what to say of an image whose channels are not those of the first convolution."""
    found = re.search(r"to have (\d+) channels, but got (\d+) channels", text)
    if found is None:
        return None
    for tensor in tensors:
        image = tensor.described
        if isinstance(image, ImageInput) and str(image.channels) == found[2]:
            return for_channels(int(found[1]))
    return None
