# SPDX-License-Identifier: Apache-2.0
"""Measurements against peers; each script prints a table with ratios, measured in one run."""
