# SPDX-License-Identifier: Apache-2.0
"""Why operators have no converter that are beside no operator which has one."""

from __future__ import annotations

import torch

from edge_trt.conversion.registry import refuse

aten = torch.ops.aten

_POLYNOMIALS = (
    "chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v",
    "chebyshev_polynomial_w", "hermite_polynomial_h", "hermite_polynomial_he",
    "laguerre_polynomial_l", "legendre_polynomial_p", "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w",
)  # fmt: skip
refuse(
    "its degree may be a tensor, for which TensorRT has no such function: write out the"
    " polynomial of the degree that is meant",
    *(getattr(aten, f"special_{name}") for name in _POLYNOMIALS),
)
refuse(
    "TensorRT has no ragged tensors: pad them to one size, and mark what counts by a mask",
    aten._pack_padded_sequence, aten.segment_reduce,
    aten.to_padded_tensor,
)  # fmt: skip
refuse(
    "it changes the weights while it looks them up: normalise the embedding before compiling",
    aten.embedding_renorm,
)
refuse(
    "it is for training, which learns the scale: export the model with its scales fixed",
    aten._fake_quantize_learnable_per_channel_affine,
    aten._fake_quantize_learnable_per_tensor_affine,
)
refuse("only training needs this loss: leave it out of the model", aten._ctc_loss)
refuse("its layout is time, batch, channels: use conv1d on x.permute(1, 2, 0)", aten.conv_tbc)
refuse(
    "attention on a GPU in a kernel of PyTorch's own: call scaled_dot_product_attention",
    aten._efficient_attention_forward, aten._flash_attention_forward,
)  # fmt: skip
refuse(
    "the fast path of PyTorch in one kernel: export nn.TransformerEncoderLayer and"
    " nn.MultiheadAttention by torch.export, which does without",
    aten._native_multi_head_attention, aten._transformer_encoder_layer_fwd,
)  # fmt: skip
refuse(
    "a kernel behind convolution on one device: call conv2d, conv3d or their transposed forms",
    aten._conv_depthwise2d, aten._slow_conv2d_forward, aten.conv_depthwise3d,
    aten.slow_conv3d_forward, aten.slow_conv_dilated2d, aten.slow_conv_dilated3d,
    aten.slow_conv_transpose2d, aten.slow_conv_transpose3d,
)  # fmt: skip
_PUBLIC = {
    "grid_sample": aten._grid_sampler_2d_cpu_fallback,
    "index_put": aten._index_put_impl,
    "logcumsumexp": aten._logcumsumexp,
    "torch.stack": aten._stack,
    "torch.bilinear or einsum": aten._trilinear,
    "aminmax": aten._aminmax,
    "relu(x + y)": aten._add_relu,
    "dropout, which evaluation leaves out": aten._masked_scale,
    "softmax of masked_fill": aten._masked_softmax,
    "glu": aten.glu_jvp,
    "linalg_vector_norm": "linalg__powsum",
    "torch.linalg.norm": aten.native_norm,
    "torch.unique": aten._unique,
}
for _name, _operator in _PUBLIC.items():
    refuse(f"it is a step inside of PyTorch and no public operator: call {_name}", _operator)
refuse(
    "torch.export writes views and not their copies: export the module instead of calling it",
    aten._neg_view, aten._neg_view_copy, aten._reshape_alias_copy, aten.detach_copy,
    aten.slice_inverse,
)  # fmt: skip
