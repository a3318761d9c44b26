# SPDX-License-Identifier: Apache-2.0
"""Which layers run on the deep learning accelerators of a board.

regimes    target and TensorRT version -> none, weak, strong, strong-dla
rules      what a DLA takes, as data; `verdicts` asks them about every layer of a network
implicit   a network without quantization layers, with its scales beside it
"""
