# SPDX-License-Identifier: Apache-2.0
"""Why what detectors do with boxes falls back.

TensorRT has a layer for suppression (INMSLayer), but the builder of TensorRT-RTX has no
implementation of it without a GPU, and how many boxes it keeps would be unknown to what follows.
"""

from __future__ import annotations

from edge_trt.conversion.registry import REFUSED_BY_NAME

_SUPPRESSION = (
    "TensorRT-RTX builds no NMS layer without a GPU, so ONNX Runtime suppresses the boxes: put what"
    " needs no number of boxes before it"
)
_REGIONS = (
    "TensorRT has no layer that pools regions, so the fallback does it: limit the number of regions"
    " before it"
)
_SAMPLED_REGIONS = (
    "TensorRT has no layer that pools regions, and samples of a grid need one image, a known number"
    " of regions and a sampling_ratio above 0: give it these, or leave it to the fallback"
)
_OFFSETS = (
    "TensorRT has no deformable convolution, and samples of a grid need known sizes: give it these,"
    " or leave it to the fallback"
)

_PEAKS = (
    "TensorRT resizes all maps to one size and each region has its own, so ONNX Runtime finds the"
    " keypoints: take the heatmaps as the output and find them in the application"
)

for _names, _reason in (
    (("edge_trt.batched_nms", "torchvision.nms", "torchvision.qnms"), _SUPPRESSION),
    (
        (
            "torchvision.roi_pool",
            "torchvision.ps_roi_align",
            "torchvision.ps_roi_pool",
        ),
        _REGIONS,
    ),
    (("torchvision.roi_align",), _SAMPLED_REGIONS),
    (("edge_trt.heatmap_peaks",), _PEAKS),
    (("torchvision.deform_conv2d",), _OFFSETS),
):
    REFUSED_BY_NAME.update({f"{n}.default": f"{n}: {_reason}" for n in _names})
