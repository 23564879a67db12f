"""Small random models of the families of `transformers`, one call each.

In: nothing.   Out: `FAMILIES`: name → what makes the model and its keyword arguments; `REFUSED`: those that are no one graph.
Models are in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
import transformers

Inputs = dict[str, torch.Tensor]

BATCH: Final = 2
LENGTH: Final = 7
VOCABULARY: Final = 99

TEXT_SIZES: Final[Mapping[str, Any]] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
GROUPED_SIZES: Final[Mapping[str, Any]] = {**TEXT_SIZES, "num_key_value_heads": 2, "head_dim": 8}
IMAGE_SIZES: Final[Mapping[str, Any]] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 16,
    "patch_size": 8,
}


def _ids(length: int = LENGTH) -> torch.Tensor:
    return torch.randint(3, VOCABULARY, (BATCH, length))


def _text() -> Inputs:
    mask = torch.ones(BATCH, LENGTH, dtype=torch.int64)
    mask[1, LENGTH - 2 :] = 0
    return {"input_ids": _ids(), "attention_mask": mask}


def _unmasked() -> Inputs:
    return {"input_ids": _ids()}


def _pair() -> Inputs:
    return {"input_ids": _ids(), "decoder_input_ids": _ids(5)}


def _image(side: int = 16) -> Callable[[], Inputs]:
    return lambda: {"pixel_values": torch.randn(BATCH, 3, side, side)}


def _sound() -> Inputs:
    return {"input_values": torch.randn(BATCH, 400)}


def _family(
    kind: str, model: str, inputs: Callable[[], Inputs], **sizes: Any
) -> Callable[[], tuple[torch.nn.Module, Inputs]]:
    """Give what makes the model `{kind}{model}` of configuration `{kind}Config`."""

    def make() -> tuple[torch.nn.Module, Inputs]:
        torch.manual_seed(0)
        config = getattr(transformers, f"{kind}Config")(**sizes)
        built = getattr(transformers, f"{kind}{model}")(config)
        return built.eval(), inputs()

    return make


_GPT_SIZES: Final = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
}
_NEO_SIZES: Final = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 64, "attention_types": [[["global", "local"], 1]],
}  # fmt: skip
_BART_SIZES: Final = {
    "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64,
    "pad_token_id": 1, "decoder_start_token_id": 2,
}  # fmt: skip
_T5_SIZES: Final = {
    "vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
}  # fmt: skip
_RECURRENT_SIZES: Final = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 48,
}
_MIXED_SIZES: Final = {
    **_RECURRENT_SIZES, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_attention_heads": 4,
    "num_key_value_heads": 2, "num_experts": 4,
}  # fmt: skip
_CANINE_SIZES: Final = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "local_transformer_stride": 4,
    "num_hash_buckets": 50, "num_hash_functions": 4,
}  # fmt: skip
_REFORMER_SIZES: Final = {
    "vocab_size": VOCABULARY, "is_decoder": False, "hidden_size": 32, "attention_head_size": 8, "num_attention_heads": 4,
    "axial_pos_shape": (4, 2), "axial_pos_embds_dim": (16, 16), "feed_forward_size": 48, "attn_layers": ["local", "lsh"],
    "local_attn_chunk_length": 4, "lsh_attn_chunk_length": 4, "num_buckets": 2,
}  # fmt: skip
_WAVE_SIZES: Final = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "conv_dim": (16, 16),
    "conv_kernel": (5, 3), "conv_stride": (3, 2), "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2, "vocab_size": VOCABULARY,
}  # fmt: skip

FAMILIES: Final[Mapping[str, Callable[[], tuple[torch.nn.Module, Inputs]]]] = {
    # encoders of text
    "bert": _family("Bert", "Model", _text, **TEXT_SIZES),
    "roberta": _family("Roberta", "Model", _text, **TEXT_SIZES),
    "xlm-roberta": _family("XLMRoberta", "Model", _text, **TEXT_SIZES),
    "camembert": _family("Camembert", "Model", _text, **TEXT_SIZES),
    "distilbert": _family(
        "DistilBert",
        "Model",
        _text,
        vocab_size=VOCABULARY,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=48,
    ),
    "albert": _family("Albert", "Model", _text, embedding_size=16, **TEXT_SIZES),
    "electra": _family("Electra", "Model", _text, embedding_size=16, **TEXT_SIZES),
    "mpnet": _family("MPNet", "Model", _text, **TEXT_SIZES),
    "ernie": _family("Ernie", "Model", _text, **TEXT_SIZES),
    "data2vec-text": _family("Data2VecText", "Model", _text, **TEXT_SIZES),
    "roformer": _family("RoFormer", "Model", _text, **TEXT_SIZES),
    "mobilebert": _family(
        "MobileBert", "Model", _text, intra_bottleneck_size=32, embedding_size=32, **TEXT_SIZES
    ),
    "squeezebert": _family("SqueezeBert", "Model", _text, embedding_size=32, **TEXT_SIZES),
    "layoutlm": _family("LayoutLM", "Model", _text, **TEXT_SIZES),
    "deberta": _family("Deberta", "Model", _text, **TEXT_SIZES),
    "deberta-v2": _family(
        "DebertaV2",
        "Model",
        _text,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        **TEXT_SIZES,
    ),
    "fnet": _family(
        "FNet",
        "Model",
        _unmasked,
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=48,
    ),
    "modernbert": _family(
        "ModernBert",
        "Model",
        _text,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
        **TEXT_SIZES,
    ),
    "megatron-bert": _family("MegatronBert", "Model", _text, **TEXT_SIZES),
    "convbert": _family("ConvBert", "Model", _text, embedding_size=32, **TEXT_SIZES),
    "nystromformer": _family(
        "Nystromformer", "Model", _text, num_landmarks=7, segment_means_seq_len=7, **TEXT_SIZES
    ),
    # decoders of text
    "gpt2": _family("GPT2", "LMHeadModel", _text, **_GPT_SIZES),
    "openai-gpt": _family("OpenAIGPT", "LMHeadModel", _text, **_GPT_SIZES),
    "gpt-neo": _family("GPTNeo", "ForCausalLM", _text, **_NEO_SIZES),
    "gpt-neox": _family("GPTNeoX", "ForCausalLM", _text, **TEXT_SIZES),
    "gptj": _family("GPTJ", "ForCausalLM", _text, rotary_dim=4, **_GPT_SIZES),
    "codegen": _family("CodeGen", "ForCausalLM", _text, rotary_dim=4, n_ctx=64, **_GPT_SIZES),
    "opt": _family(
        "OPT",
        "ForCausalLM",
        _text,
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=48,
        max_position_embeddings=64,
        word_embed_proj_dim=32,
    ),
    "bloom": _family(
        "Bloom", "ForCausalLM", _text, vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4
    ),
    "llama": _family("Llama", "ForCausalLM", _text, **GROUPED_SIZES),
    "mistral": _family("Mistral", "ForCausalLM", _text, **GROUPED_SIZES),
    "qwen2": _family("Qwen2", "ForCausalLM", _text, **GROUPED_SIZES),
    "qwen3": _family("Qwen3", "ForCausalLM", _text, **GROUPED_SIZES),
    "gemma": _family("Gemma", "ForCausalLM", _text, **GROUPED_SIZES),
    "gemma2": _family("Gemma2", "ForCausalLM", _text, **GROUPED_SIZES),
    "gemma3": _family("Gemma3Text", "Model", _text, **GROUPED_SIZES),
    "phi": _family("Phi", "ForCausalLM", _text, **TEXT_SIZES),
    "phi3": _family("Phi3", "ForCausalLM", _text, **TEXT_SIZES),
    "falcon": _family(
        "Falcon",
        "ForCausalLM",
        _text,
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
    ),
    "stablelm": _family("StableLm", "ForCausalLM", _text, **GROUPED_SIZES),
    "olmo": _family("Olmo", "ForCausalLM", _text, **TEXT_SIZES),
    "olmo2": _family("Olmo2", "ForCausalLM", _text, **TEXT_SIZES),
    "cohere": _family("Cohere", "ForCausalLM", _text, bos_token_id=1, eos_token_id=2, **TEXT_SIZES),
    "granite": _family("Granite", "ForCausalLM", _text, **TEXT_SIZES),
    "starcoder2": _family("Starcoder2", "ForCausalLM", _text, **TEXT_SIZES),
    "persimmon": _family("Persimmon", "ForCausalLM", _text, **TEXT_SIZES),
    "smollm3": _family("SmolLM3", "ForCausalLM", _text, **TEXT_SIZES),
    "biogpt": _family("BioGpt", "ForCausalLM", _text, **TEXT_SIZES),
    "xglm": _family(
        "XGLM",
        "ForCausalLM",
        _text,
        vocab_size=VOCABULARY,
        d_model=32,
        ffn_dim=48,
        num_layers=2,
        attention_heads=4,
        max_position_embeddings=64,
    ),
    "mixtral": _family("Mixtral", "ForCausalLM", _text, num_local_experts=4, **GROUPED_SIZES),
    "mamba": _family(
        "Mamba",
        "ForCausalLM",
        _unmasked,
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        state_size=4,
    ),
    # encoders with decoders
    "t5": _family("T5", "Model", _pair, **_T5_SIZES),
    "mt5": _family("MT5", "Model", _pair, **_T5_SIZES),
    "bart": _family("Bart", "Model", _pair, **_BART_SIZES),
    "mbart": _family("MBart", "Model", _pair, **_BART_SIZES),
    "pegasus": _family("Pegasus", "Model", _pair, **_BART_SIZES),
    "marian": _family("Marian", "Model", _pair, **_BART_SIZES),
    "blenderbot": _family("Blenderbot", "Model", _pair, **_BART_SIZES),
    "m2m-100": _family("M2M100", "Model", _pair, **_BART_SIZES),
    # images
    "vit": _family("ViT", "Model", _image(), **IMAGE_SIZES),
    "deit": _family("DeiT", "Model", _image(), **IMAGE_SIZES),
    "beit": _family("Beit", "Model", _image(), **IMAGE_SIZES),
    "dinov2": _family(
        "Dinov2",
        "Model",
        _image(),
        **{k: v for k, v in IMAGE_SIZES.items() if k != "intermediate_size"},
    ),
    "vit-mae": _family("ViTMAE", "Model", _image(), **IMAGE_SIZES),
    "yolos": _family(
        "Yolos",
        "Model",
        _image(),
        **{**IMAGE_SIZES, "image_size": [16, 16], "num_detection_tokens": 3},
    ),
    "swin": _family(
        "Swin",
        "Model",
        _image(32),
        image_size=32,
        patch_size=2,
        embed_dim=8,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=4,
    ),
    "swinv2": _family(
        "Swinv2",
        "Model",
        _image(32),
        image_size=32,
        patch_size=2,
        embed_dim=8,
        depths=[1, 1],
        num_heads=[2, 2],
        window_size=4,
    ),
    "convnext": _family(
        "ConvNext", "Model", _image(32), hidden_sizes=[8, 16], depths=[1, 1], num_stages=2
    ),
    "convnextv2": _family(
        "ConvNextV2", "Model", _image(32), hidden_sizes=[8, 16], depths=[1, 1], num_stages=2
    ),
    "resnet": _family(
        "ResNet", "Model", _image(32), embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]
    ),
    "regnet": _family(
        "RegNet",
        "Model",
        _image(32),
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        groups_width=8,
    ),
    "poolformer": _family(
        "PoolFormer", "Model", _image(64), hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1]
    ),
    "segformer": _family(
        "Segformer",
        "Model",
        _image(64),
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
    ),
    "mobilenet-v1": _family("MobileNetV1", "Model", _image(64), depth_multiplier=0.25),
    "mobilenet-v2": _family("MobileNetV2", "Model", _image(64), depth_multiplier=0.25),
    "efficientnet": _family(
        "EfficientNet",
        "Model",
        _image(64),
        width_coefficient=0.25,
        depth_coefficient=0.25,
        hidden_dim=320,
    ),
    "levit": _family(
        "Levit",
        "Model",
        _image(64),
        image_size=64,
        hidden_sizes=[16, 16, 16],
        num_attention_heads=[2, 2, 2],
        depths=[1, 1, 1],
        key_dim=[4, 4, 4],
    ),
    "mobilevit": _family(
        "MobileViT",
        "Model",
        _image(64),
        image_size=64,
        hidden_sizes=[16, 16, 16],
        neck_hidden_sizes=[8, 8, 8, 8, 8, 8, 16],
        num_attention_heads=2,
    ),
    "siglip-vision": _family("SiglipVision", "Model", _image(), **IMAGE_SIZES),
    "clip-vision": _family("CLIPVision", "Model", _image(), **IMAGE_SIZES),
    "clip-text": _family("CLIPText", "Model", _text, eos_token_id=2, **TEXT_SIZES),
    # sound
    "wav2vec2": _family("Wav2Vec2", "Model", _sound, **_WAVE_SIZES),
    "hubert": _family("Hubert", "Model", _sound, **_WAVE_SIZES),
    "whisper": _family(
        "Whisper",
        "Model",
        lambda: {"input_features": torch.randn(BATCH, 8, 30), "decoder_input_ids": _ids(5)},
        num_mel_bins=8,
        max_source_positions=15,
        max_target_positions=20,
        vocab_size=VOCABULARY,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    ),
    "audio-spectrogram": _family(
        "AST",
        "Model",
        lambda: {"input_values": torch.randn(BATCH, 32, 16)},
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        patch_size=4,
        max_length=32,
        num_mel_bins=16,
    ),
    # others
    "xlnet": _family(
        "XLNet", "Model", _text, vocab_size=VOCABULARY, d_model=32, n_layer=2, n_head=4, d_inner=48
    ),
    "qwen2-moe": _family("Qwen2Moe", "Model", _unmasked, **_MIXED_SIZES),
    "ibert": _family("IBert", "Model", _text, **TEXT_SIZES),
    "rwkv": _family("Rwkv", "Model", _unmasked, attention_hidden_size=32, **_RECURRENT_SIZES),
    "canine": _family("Canine", "Model", _text, **_CANINE_SIZES),
}

REFUSED: Final[Mapping[str, Callable[[], tuple[torch.nn.Module, Inputs]]]] = {
    "longformer": _family("Longformer", "Model", _text, attention_window=4, **TEXT_SIZES),
    "led": _family("LED", "Model", _text, attention_window=4, **_BART_SIZES),
    "reformer": _family("Reformer", "Model", _unmasked, **_REFORMER_SIZES),
}
"""Families that are no one graph: they read the values of tensors, or call NumPy."""
