# SPDX-License-Identifier: Apache-2.0
"""The command line in this process, as the tests of the commands have it."""

from tests.cli.conftest import edge_trt as command

__all__ = ["command"]
