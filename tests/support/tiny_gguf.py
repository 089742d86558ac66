"""A tiny Llama as a GGUF file, in eight bits, and the same in torch: the format of llama.cpp, by its own package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

TOKENS = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġa", "Ġg", "oo", "Ġgoo", "Ġgood"]
MERGES = ["Ġ a", "Ġ g", "o o", "Ġg oo", "Ġgoo d"]
HEADS, BLOCKS, HIDDEN, INNER, POSITIONS = 4, 3, 32, 64, 128  # eight bits need rows of 32 numbers
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def save(path: Path, seed: int = 0, drop: str = "") -> PreTrainedModel:
    """Write the file, without the tensor `drop`; give the model, its weights rounded to eight bits."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=BLOCKS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    model: Any = LlamaForCausalLM(config).eval()
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer)
    for name, weight in model.model.named_parameters():
        weight.data.normal_(1.0 if "norm" in name else 0.0, 0.3)
        called = _called(name)
        if "norm" in name:
            writer.add_tensor(called, weight.detach().numpy())
            continue
        eight = gguf.GGMLQuantizationType.Q8_0
        packed = gguf.quants.quantize(_turned(called, weight.detach().numpy()), eight)
        weight.data = torch.from_numpy(_turned(called, gguf.quants.dequantize(packed, eight), back=True).copy())
        if called != drop:
            writer.add_tensor(called, packed, raw_dtype=eight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _describe(writer: Any) -> None:
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, *[1] * (len(TOKENS) - 1)])  # 3: a control token
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")


def _called(name: str) -> str:
    """Name a weight as llama.cpp does."""
    if name.startswith("layers."):
        _, block, rest = name.split(".", 2)
        return f"blk.{block}.{NAMES[rest.removesuffix('.weight')]}.weight"
    return {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}[name]


def _turned(called: str, weight: np.ndarray, back: bool = False) -> np.ndarray:
    """Order the rows of queries and keys as llama.cpp does: the two halves of a head take turns."""
    if "attn_q" not in called and "attn_k" not in called:
        return weight
    halves = (HEADS, HIDDEN // HEADS // 2, 2) if back else (HEADS, 2, HIDDEN // HEADS // 2)
    return weight.reshape(*halves, HIDDEN).swapaxes(1, 2).reshape(weight.shape)
