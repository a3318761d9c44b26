# SPDX-License-Identifier: Apache-2.0
"""Puts the test of completeness behind the tables whose rows it counts."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name == "test_completeness.py")
