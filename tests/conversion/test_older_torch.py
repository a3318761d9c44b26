# SPDX-License-Identifier: Apache-2.0
"""A PyTorch that has fewer operators than this one: the library loads, and compiles.

No older PyTorch is installed beside this one, so what came since the oldest supported one is
hidden from the program. The names are the difference of the operators that 2.8.0 and 2.13.0 list.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SINCE_2_8 = (
    "_cudnn_attention_backward", "_flash_attention_forward_no_dropout_inplace", "_foreach_clone",
    "_foreach_mm", "_foreach_powsum", "_fused_rms_norm_backward", "_philox_key_fold_in",
    "_philox_key_split", "_philox_normal", "_philox_uniform", "_scaled_grouped_mm_v2",
    "_scaled_mm_v2", "_upsample_lanczos2d_aa", "_upsample_lanczos2d_aa_backward",
    "_use_miopen_ctc_loss", "hash_tensor", "linalg__powsum", "miopen_ctc_loss",
    "sym_is_contiguous",
)  # fmt: skip

PROGRAM = """
import sys
import torch
from torch._ops import _OpNamespace

hidden, seen = set(sys.argv[1:]), _OpNamespace.__getattr__

def older(namespace, name):
    if namespace.name == "aten" and name in hidden:
        raise AttributeError(name)
    return seen(namespace, name)

_OpNamespace.__getattr__ = older
for name in hidden:  # what PyTorch has used itself is remembered there
    vars(torch.ops.aten).pop(name, None)
import edge_trt
from edge_trt.conversion.registry import CONVERTERS, load_library

load_library()
assert len(CONVERTERS) > 300
for name in hidden:
    assert not hasattr(torch.ops.aten, name)
model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
edge_trt.compile(model, (torch.rand(1, 3, 8, 8),), target="cpu").save(PATH)
"""


@pytest.mark.parametrize("hidden", [SINCE_2_8], ids=["2.8"])
def test_what_an_older_torch_lacks_is_not_asked_for(
    hidden: tuple[str, ...], tmp_path: Path
) -> None:
    program = PROGRAM.replace("PATH", repr(f"{tmp_path}/model.edge"))
    done = subprocess.run(
        [sys.executable, "-c", program, *hidden], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
