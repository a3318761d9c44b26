# SPDX-License-Identifier: Apache-2.0
"""Judges that the tests share: oracles, the interpreter of TensorRT networks, the model zoo."""
