# SPDX-License-Identifier: Apache-2.0
"""Architectures of timm: the small members of every family, and of the variants within one."""

from __future__ import annotations

import functools

from torch import nn

from edge_trt.capture.torchvision_ops import declared_on_import
from tests.support.zoo.entry import Entry

CORE = (
    "resnet50", "mobilenetv3_large_100", "efficientnet_b0", "vit_tiny_patch16_224",
    "deit_tiny_patch16_224",
)  # fmt: skip
"""Classifiers that are tested at ranges too."""

ANY_SIZE = (
    "gcresnext26ts", "gernet_s", "mobileone_s0", "regnetz_b16", "repvgg_a0",
    "resnet32ts", "resnet51q", "eca_resnext26ts", "seresnext26ts", "test_byobnet",
    "convmixer_768_32", "convnext_atto", "convnextv2_atto", "convnext_atto_ols",
    "convnext_zepto_rms", "cpubone_nano", "csatv2", "cs3darknet_focus_s", "cs3darknet_s",
    "cs3sedarknet_l", "cspdarknet53", "cspresnet50", "cspnext_tiny", "darknet17", "davit_tiny",
    "densenet121", "densenetblur121d", "dla34", "dla46_c", "dla60_res2net", "dpn48b", "dpn68",
    "edgenext_xx_small", "efficientnet_lite0", "efficientnet_es", "efficientnet_cc_b0_4e",
    "efficientnet_b0_gn", "efficientnet_blur_b0", "efficientnetv2_rw_t", "gc_efficientnetv2_rw_t",
    "tf_efficientnet_b0", "tf_efficientnetv2_b0", "fbnetc_100", "mixnet_s", "tf_mixnet_s",
    "mnasnet_small", "mobilenet_edgetpu_100", "mobilenetv1_100", "mobilenetv2_050", "tinynet_e",
    "spnasnet_100", "semnasnet_075", "efficientvit_b0", "efficientvit_l1", "efficientvim_m1",
    "fasternet_t0", "fastvit_t8", "fastvit_mci0", "focalnet_tiny_srf", "focalnet_tiny_lrf",
    "ghostnet_050", "ghostnetv2_100", "ghostnetv3_050", "hardcorenas_a", "hgnet_tiny", "hgnetv2_b0",
    "hrnet_w18_small", "inception_next_atto", "inception_resnet_v2", "inception_v3", "inception_v4",
    "lcnet_050", "lcnetv2_small", "lowformer_b0", "mambaout_femto", "caformer_s18",
    "convformer_s18", "poolformer_s12", "poolformerv2_s12", "mobilenetv3_small_050", "fbnetv3_b",
    "mobilenetv4_conv_small", "mobilenetv4_hybrid_medium", "mobilenetv4_conv_aa_medium",
    "tf_mobilenetv3_small_minimal_100", "mobilevit_xxs", "mobilevitv2_050", "nasnetalarge",
    "nextvit_small", "dm_nfnet_f0", "eca_nfnet_l0", "nf_regnet_b0", "nf_resnet26", "nf_ecaresnet26",
    "nf_seresnet26", "nfnet_l0", "pnasnet5large", "pvt_v2_b0", "pvt_v2_b2_li", "rdnet_tiny",
    "regnetx_002", "regnety_002", "regnetz_005", "regnetv_040", "regnety_040_sgn",
    "repghostnet_050", "repvit_m0_9", "res2net50_14w_8s", "res2next50", "resnest14d", "resnest26d",
    "resnet10t", "resnet18d", "resnet50_gn", "resnetaa34d", "resnetblur18", "ecaresnet26t",
    "seresnet18", "resnetrs50", "skresnet18", "skresnext50_32x4d", "legacy_seresnet18",
    "resnetv2_18", "resnetv2_50x1_bit", "resnetv2_50d_evos", "resnetv2_50d_frn", "rexnet_100",
    "selecsls42b", "starnet_s050", "tresnet_m", "ese_vovnet19b_slim", "vovnet39a", "eca_vovnet39b",
    "legacy_xception", "xception41", "xception41p",
    "lambda_resnet26t", "iformer_t", "shvit_s1",
)  # fmt: skip
"""Convolutional ones, seen at 128."""

AT_224 = (
    "beit_base_patch16_224", "beitv2_base_patch16_224", "resnet50_clip", "haloregnetz_b",
    "cait_xxs24_224", "coat_lite_tiny", "coat_tiny", "convit_tiny", "deit3_small_patch16_224",
    "deit_tiny_distilled_patch16_224", "efficientformer_l1", "efficientformerv2_s0",
    "efficientvit_m0", "eva02_tiny_patch14_224", "vit_small_patch16_rope_224",
    "vit_small_patch16_rope_mixed_224", "gcvit_xxtiny", "hiera_tiny_224", "levit_128s",
    "levit_conv_128s", "coatnet_nano_rw_224", "coatnet_rmlp_nano_rw_224", "coatnext_nano_rw_224",
    "maxvit_tiny_tf_224", "gmixer_24_224", "gmlp_ti16_224", "mixer_s32_224", "resmlp_12_224",
    "mvitv2_tiny", "mvitv2_small_cls", "naflexvit_base_patch16_gap", "nest_tiny", "nest_tiny_jx",
    "pit_ti_224", "pit_ti_distilled_224", "sequencer2d_s", "swin_tiny_patch4_window7_224",
    "swin_s3_tiny_224", "swinv2_cr_tiny_ns_224", "tiny_vit_5m_224", "tnt_s_patch16_224",
    "twins_pcpvt_small", "twins_svt_small", "visformer_tiny", "vit_base_patch32_clip_224",
    "vit_base_patch16_rpn_224", "vit_tiny_r_s16_p8_224", "vit_relpos_small_patch16_224",
    "vit_srelpos_small_patch16_224", "samvit_base_patch16_224", "vitamin_small_224", "volo_d1_224",
    "xcit_nano_12_p16_224", "swiftformer_xs",
)  # fmt: skip
"""Those with attention over a grid of one size."""

OTHER_SIZES = {
    "bat_resnext26ts": 256, "halonet26t": 256, "sehalonet33ts": 256,
    "botnet26t_256": 256, "eca_botnext26ts_256": 256, "lambda_resnet26rpt_256": 256,
    "sebotnet33ts_256": 256, "lamhalobotnet50ts_256": 256, "crossvit_9_240": 240,
    "crossvit_9_dagger_240": 240, "vit_small_patch16_dinov3": 256,
    "vit_pe_core_tiny_patch16_384": 384, "fastvit_sa12": 256, "hiera_small_abswin_256": 256,
    "sam2_hiera_tiny": 256, "hieradet_small": 256, "maxvit_nano_rw_256": 256,
    "maxvit_rmlp_pico_rw_256": 256, "maxxvit_rmlp_nano_rw_256": 256,
    "maxxvitv2_nano_rw_256": 256, "qwen3_vit_88m": 256, "swinv2_tiny_window8_256": 256,
    "flexivit_small": 240, "vit_small_patch14_dinov2": 518, "test_vit": 160,
    "vit_base_patch32_siglip_256": 256,
}  # fmt: skip
"""The same, made for other sizes."""


def make(name: str) -> nn.Module:
    """The model, without its trained weights."""
    with declared_on_import():
        import timm
    return timm.create_model(name)


def entries() -> list[Entry]:
    """Every architecture, in the order of the tables."""
    sizes = dict.fromkeys(CORE, 224)
    sizes |= dict.fromkeys(ANY_SIZE, 128) | dict.fromkeys(AT_224, 224) | OTHER_SIZES
    return [
        Entry(f"timm:{name}", "timm", functools.partial(make, name), size)
        for name, size in sizes.items()
    ]
