# SPDX-License-Identifier: Apache-2.0
"""Models of the transformers library, made from small configurations."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from edge_trt.capture.torchvision_ops import declared_on_import
from tests.support.zoo.entry import Arguments, Entry, Feed

VOCABULARY = 500

ENCODER: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 128,
}
VISION: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "image_size": 64,
    "patch_size": 8,
}
DECODER: dict[str, Any] = {
    **ENCODER,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "use_cache": False,
}


def tokens(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """Token numbers with a mask that hides the end of every row but the first."""
    ids = torch.randint(3, VOCABULARY, (batch, 24), generator=generator)
    lengths = torch.arange(24, 24 - 3 * batch, -3).clamp(min=4)
    return {"input_ids": ids, "attention_mask": (torch.arange(24) < lengths[:, None]).long()}


def two_rows(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """As `tokens`, at least two rows, so that the mask hides something."""
    return tokens(generator, max(batch, 2), size)


def pixels(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """An image batch by its name in transformers."""
    return {"pixel_values": torch.randn(batch, 3, size, size, generator=generator)}


def masked_pixels(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """Images with the mask that DETR takes, all of it set."""
    image = torch.randn(batch, 3, size, size, generator=generator)
    return {"pixel_values": image, "pixel_mask": torch.ones(batch, size, size, dtype=torch.long)}


def waveform(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """A quarter of a second of sound."""
    return {"input_values": torch.randn(batch, 4000, generator=generator)}


def spectrogram(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """80 mel bands of 60 frames."""
    return {"input_features": torch.randn(batch, 80, 60, generator=generator)}


def text_and_image(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """Two texts and images."""
    text = two_rows(generator, batch, size)
    assert isinstance(text, dict)
    return {**text, **dict(pixels(generator, max(batch, 2), size))}


def masked_image(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """An image with the noise that decides which patches ViTMAE hides."""
    image = torch.randn(batch, 3, size, size, generator=generator)
    return {"pixel_values": image, "noise": torch.rand(batch, 64, generator=generator)}


def text_to_text(generator: torch.Generator, batch: int, size: int) -> Arguments:
    """Tokens for the encoder and for the decoder."""
    text = two_rows(generator, batch, size)
    assert isinstance(text, dict)
    ids = torch.randint(3, VOCABULARY, (max(batch, 2), 12), generator=generator)
    return {**text, "decoder_input_ids": ids}


@dataclass(frozen=True)
class Row:
    """A class of transformers with the fields of its configuration that differ from the default."""

    name: str
    model: str
    feed: Feed
    config: dict[str, Any]
    size: int = 0
    parts: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    """Configurations inside the configuration, as (class, fields)."""
    take: str = ""
    """The part of the model that is compiled, where it is not all of it."""


def _text(name: str, model: str, feed: Feed = two_rows, **config: Any) -> Row:
    return Row(name, model, feed, {**ENCODER, **config})


def _decoder(name: str, model: str, **config: Any) -> Row:
    return Row(name, model, two_rows, {**DECODER, **config})


def _vision(name: str, model: str, feed: Feed = pixels, size: int = 64, **config: Any) -> Row:
    return Row(name, model, feed, {**VISION, **config}, size)


_DISTIL = {"dim": 64, "n_layers": 3, "n_heads": 4, "hidden_dim": 128, "vocab_size": VOCABULARY}
_T5 = {
    "vocab_size": VOCABULARY, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 3,
    "num_heads": 4, "use_cache": False,
}  # fmt: skip
_WHISPER = {
    "d_model": 64, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128,
    "max_source_positions": 30, "vocab_size": VOCABULARY, "pad_token_id": 0,
}  # fmt: skip
_WAV2VEC2 = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128,
    "conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
_TWO_TOWERS = {
    "text": {**ENCODER, "max_position_embeddings": 32, "eos_token_id": 2},
    "vision": VISION,
}
_RESNET = {
    "embedding_size": 16, "hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 1, 1],
    "out_features": ["stage4"],
}  # fmt: skip
_DETR = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128,
    "num_queries": 10, "use_timm_backbone": False, "use_pretrained_backbone": False,
    "backbone": None,
}  # fmt: skip
_RT_DETR = {
    "encoder_hidden_dim": 64, "encoder_in_channels": [64, 96, 128], "encoder_ffn_dim": 128,
    "encoder_attention_heads": 4, "d_model": 64, "decoder_ffn_dim": 128, "decoder_layers": 2,
    "decoder_attention_heads": 4, "decoder_in_channels": [64, 64, 64], "num_queries": 20,
    "num_denoising": 0, "backbone": None,
}  # fmt: skip
_DINO = {
    **VISION,
    "num_hidden_layers": 4,
    "out_indices": [1, 2, 3, 4],
    "reshape_hidden_states": False,
}

ROWS = (
    _text("bert", "BertModel"),
    _text("bert_question_answering", "BertForQuestionAnswering"),
    _text("roberta", "RobertaModel", pad_token_id=1),
    _text("xlm_roberta", "XLMRobertaForSequenceClassification", pad_token_id=1),
    _text("electra", "ElectraModel", embedding_size=32),
    _text("albert", "AlbertModel", embedding_size=32),
    _text("mobilebert", "MobileBertModel", embedding_size=32, intra_bottleneck_size=32,
          true_hidden_size=32),
    _text("mpnet", "MPNetModel"),
    _text("squeezebert", "SqueezeBertModel", embedding_size=64),
    _text("deberta", "DebertaModel", relative_attention=True, pos_att_type=["c2p", "p2c"]),
    _text("deberta_v2", "DebertaV2Model", relative_attention=True, pos_att_type=["p2c", "c2p"],
          position_buckets=32, share_att_key=True, norm_rel_ebd="layer_norm"),
    _text("modernbert", "ModernBertModel", local_attention=16, pad_token_id=0, bos_token_id=1,
          eos_token_id=2, cls_token_id=1, sep_token_id=2),
    _text("fnet", "FNetModel", feed=lambda g, b, s: {"input_ids": tokens(g, b, s)["input_ids"]}),
    Row("distilbert", "DistilBertModel", two_rows, _DISTIL),
    Row("gpt2", "GPT2LMHeadModel", two_rows,
        {"vocab_size": VOCABULARY, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 64,
         "use_cache": False, "bos_token_id": 0, "eos_token_id": 0}),
    _decoder("gpt_neox", "GPTNeoXForCausalLM"),
    Row("opt", "OPTForCausalLM", two_rows,
        {"vocab_size": VOCABULARY, "hidden_size": 64, "num_hidden_layers": 3,
         "num_attention_heads": 4, "ffn_dim": 128, "max_position_embeddings": 64,
         "word_embed_proj_dim": 64, "use_cache": False}),
    Row("bloom", "BloomForCausalLM", two_rows,
        {"vocab_size": VOCABULARY, "hidden_size": 64, "n_layer": 3, "n_head": 4,
         "use_cache": False}),
    _decoder("llama", "LlamaForCausalLM"),
    _decoder("mistral", "MistralForCausalLM", sliding_window=8),
    _decoder("qwen2", "Qwen2ForCausalLM"),
    _decoder("qwen3", "Qwen3ForCausalLM"),
    _decoder("gemma", "GemmaForCausalLM"),
    _decoder("gemma2", "Gemma2ForCausalLM", sliding_window=8),
    _decoder("gemma3", "Gemma3ForCausalLM", sliding_window=8),
    _decoder("phi3", "Phi3ForCausalLM", pad_token_id=0),
    _decoder("olmo2", "Olmo2ForCausalLM"),
    Row("t5_encoder", "T5EncoderModel", two_rows, _T5),
    Row("t5", "T5ForConditionalGeneration", text_to_text, _T5),
    Row("bart", "BartModel", text_to_text,
        {"vocab_size": VOCABULARY, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2,
         "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 128,
         "decoder_ffn_dim": 128, "max_position_embeddings": 64, "use_cache": False}),
    Row("whisper_encoder", "WhisperModel", spectrogram, _WHISPER, take="encoder"),
    Row("wav2vec2", "Wav2Vec2Model", waveform, _WAV2VEC2),
    Row("hubert", "HubertModel", waveform, _WAV2VEC2),
    Row("clip", "CLIPModel", text_and_image, {"projection_dim": 32}, 64,
        {"text_config": ("CLIPTextConfig", _TWO_TOWERS["text"]),
         "vision_config": ("CLIPVisionConfig", _TWO_TOWERS["vision"])}),
    Row("siglip", "SiglipModel", text_and_image, {}, 64,
        {"text_config": ("SiglipTextConfig", _TWO_TOWERS["text"]),
         "vision_config": ("SiglipVisionConfig", _TWO_TOWERS["vision"])}),
    _vision("vit", "ViTModel"),
    _vision("deit", "DeiTModel"),
    _vision("dinov2", "Dinov2Model"),
    _vision("dinov3", "DINOv3ViTModel"),
    _vision("beit", "BeitModel", use_relative_position_bias=True),
    _vision("vit_mae", "ViTMAEModel", masked_image),
    _vision("yolos", "YolosForObjectDetection", image_size=[64, 64], num_detection_tokens=10),
    Row("segformer", "SegformerForSemanticSegmentation", pixels,
        {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1],
         "num_attention_heads": [1, 2, 2, 4], "decoder_hidden_size": 32}, 64),
    Row("mobilevit", "MobileViTModel", pixels, {"image_size": 64}, 64),
    Row("depth_anything", "DepthAnythingForDepthEstimation", pixels,
        {"reassemble_hidden_size": 64, "neck_hidden_sizes": [16, 32, 48, 64],
         "fusion_hidden_size": 32, "patch_size": 8, "backbone": None}, 64,
        {"backbone_config": ("Dinov2Config", _DINO)}),
    Row("dpt", "DPTForSemanticSegmentation", pixels,
        {**VISION, "num_hidden_layers": 4, "backbone_out_indices": [0, 1, 2, 3],
         "neck_hidden_sizes": [16, 32, 48, 64], "fusion_hidden_size": 32}, 64),
    Row("detr", "DetrForObjectDetection", masked_pixels, _DETR, 64,
        {"backbone_config": ("ResNetConfig", _RESNET)}),
    Row("rt_detr", "RTDetrForObjectDetection", pixels, _RT_DETR, 64,
        {"backbone_config": ("RTDetrResNetConfig",
                             {**_RESNET, "embedding_size": 32,
                              "out_features": ["stage2", "stage3", "stage4"],
                              "depths": [2, 2, 2, 2], "layer_type": "basic"})}),
    Row("convnextv2", "ConvNextV2Model", pixels,
        {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1]}, 64),
    Row("upernet", "UperNetForSemanticSegmentation", pixels,
        {"hidden_size": 32, "auxiliary_in_channels": 48, "num_labels": 8, "backbone": None}, 64,
        {"backbone_config": ("ConvNextConfig",
                             {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1],
                              "out_features": ["stage1", "stage2", "stage3", "stage4"]})}),
)  # fmt: skip


def make(row: Row) -> nn.Module:
    """The model of a row, without trained weights."""
    with declared_on_import():
        library = importlib.import_module("transformers")
        importlib.import_module("transformers.image_utils")
        kind = getattr(library, row.model)
        parts = {key: getattr(library, name)(**kw) for key, (name, kw) in row.parts.items()}
        config = kind.config_class(**row.config, **parts)
        model = kind(config)
    return getattr(model, row.take) if row.take else model


def entries() -> list[Entry]:
    """Every row as a model of the zoo."""
    return [
        Entry(
            f"transformers:{row.name}",
            "transformers",
            functools.partial(make, row),
            row.size,
            row.feed,
        )
        for row in ROWS
    ]
