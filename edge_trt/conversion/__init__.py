# SPDX-License-Identifier: Apache-2.0
"""Conversion of lowered graphs to networks: context, registry, evaluators, converters, driver."""
