# SPDX-License-Identifier: Apache-2.0
"""Architectures that no library here brings, written down as small modules with random weights."""

from tests.support.models.detector import Detector
from tests.support.models.encoder import TextEncoder

__all__ = ["Detector", "TextEncoder"]
