# SPDX-License-Identifier: Apache-2.0
"""What older PyTorch lacks is not asked for by attribute, which fails where it is imported.

No older PyTorch is installed beside this one, so the sources are read. The names are those that
2.13.0 lists and 2.8.0 does not, without what only exists as an overload of an older operator.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

import edge_trt

SINCE_2_8 = {
    "_cudnn_attention_backward", "_flash_attention_forward_no_dropout_inplace", "_foreach_clone",
    "_foreach_mm", "_foreach_powsum", "_fused_rms_norm_backward", "_philox_key_fold_in",
    "_philox_key_split", "_philox_normal", "_philox_normal_", "_philox_uniform", "_philox_uniform_",
    "_scaled_grouped_mm_v2", "_scaled_mm_v2", "_upsample_lanczos2d_aa",
    "_upsample_lanczos2d_aa_backward", "_use_miopen_ctc_loss", "hash_tensor", "linalg__powsum",
    "miopen_ctc_loss", "sym_is_contiguous",
}  # fmt: skip
OVERLOADS_SINCE_2_8 = {"generator", "Tensor_generator", "low_generator_dtype", "quantized"}

SOURCES = sorted(Path(edge_trt.__path__[0]).rglob("*.py"))


def newer(source: str) -> set[str]:
    """Operators of a program that are asked for as `aten.NAME`, and are too new."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            words = ast.unparse(node).split(".")
            if "aten" not in words[:-1]:
                continue
            name, *overload = words[words.index("aten") + 1 :]
            if name in SINCE_2_8 or (overload and overload[0] in OVERLOADS_SINCE_2_8):
                found.add(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if "aten" in p.read_text()], ids=lambda p: p.stem
)
def test_operators_of_the_oldest_torch_alone_are_named(path: Path) -> None:
    assert newer(path.read_text()) == set()


def test_what_is_found() -> None:
    assert newer("torch.ops.aten.hash_tensor.default") == {
        "torch.ops.aten.hash_tensor", "torch.ops.aten.hash_tensor.default",
    }  # fmt: skip
    assert newer("refuse('no', aten.linalg__powsum)") == {"aten.linalg__powsum"}
    assert newer("aten.rand_like.generator, aten.relu.default") == {"aten.rand_like.generator"}
    assert all(hasattr(torch.ops.aten, name) for name in SINCE_2_8)
