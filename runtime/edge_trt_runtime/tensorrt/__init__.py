# SPDX-License-Identifier: Apache-2.0
"""TensorRT's runtime, in all its flavours: which plan fits, loading it once, and running it."""
