# SPDX-License-Identifier: Apache-2.0
"""The converter library, a file per family of operators. Importing it fills the registry."""

from edge_trt.conversion import refused  # noqa: F401
from edge_trt.conversion.converters import (  # noqa: F401
    activation,
    adaptive,
    arithmetic,
    attention,
    bitwise,
    comparison,
    control,
    convolution,
    creation,
    division,
    einsum,
    index,
    join,
    layout,
    matrix,
    normalization,
    padding,
    pooling,
    quantization,
    recurrent,
    reduction,
    resize,
    scatter,
    selection,
    unary,
)
