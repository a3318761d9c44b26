# SPDX-License-Identifier: Apache-2.0
"""The machine with DLA cores that is made up for the runtime's tests."""

from __future__ import annotations

from tests.runtime.tensorrt.conftest import machine

__all__ = ["machine"]
