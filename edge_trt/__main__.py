# SPDX-License-Identifier: Apache-2.0
"""``python -m edge_trt``: the command line, where the script is not on the path."""

from __future__ import annotations

import sys

from edge_trt.cli import main

if __name__ == "__main__":
    sys.exit(main())
