# SPDX-License-Identifier: Apache-2.0
"""Small networks, one for every layer kind and variant, that engines are tested on."""

from tests.support.layer_networks.case import Case
from tests.support.layer_networks.control import CONTROL
from tests.support.layer_networks.convolution import CONVOLUTIONS
from tests.support.layer_networks.elementwise import ELEMENTWISE
from tests.support.layer_networks.index import INDEX, MATRIX
from tests.support.layer_networks.normalization import NORMALIZATION, REDUCTION
from tests.support.layer_networks.quantization import QUANTIZATION
from tests.support.layer_networks.shape import SHAPE
from tests.support.layer_networks.window import WINDOW

CASES: list[Case] = [
    *CONTROL,
    *CONVOLUTIONS,
    *ELEMENTWISE,
    *INDEX,
    *MATRIX,
    *NORMALIZATION,
    *QUANTIZATION,
    *REDUCTION,
    *SHAPE,
    *WINDOW,
]

__all__ = ["CASES", "Case"]
