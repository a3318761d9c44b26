# SPDX-License-Identifier: Apache-2.0
"""The one place that states the version of the three distributions' common release."""

__version__ = "0.1.0"
