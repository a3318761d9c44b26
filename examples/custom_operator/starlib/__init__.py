# SPDX-License-Identifier: Apache-2.0
"""Operators that find stars, and what edge_trt has to know of them."""
