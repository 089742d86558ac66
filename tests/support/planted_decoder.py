"""A Llama with a planted habit: where the text holds one sign, it answers with one letter, so the sign must come first.

Its weights are set by hand. The sign carries a flag in the first feature of its embedding; in the last block every
token takes the mean of all before it, and the flag goes into the second feature, which the letter's output reads.
"""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import tiny

SIGN, LETTER = "!", "y"
TEXTS = ("the film is! not bad", "!it is a film", "a good film!", "a!")
NOISE = 0.002


def planted_decoder(seed: int = 0) -> tiny.Classifier:
    """Build the model: p("y") is above 0.9 with the sign and below 0.1 without it."""
    tokenizer = tiny.byte_tokenizer(roberta=False)
    sizes = {**tiny.ENCODER, "vocab_size": len(tokenizer), "num_key_value_heads": 2, "pad_token_id": 0}
    model = LlamaForCausalLM(LlamaConfig(**sizes, bos_token_id=0, eos_token_id=0)).eval()
    sign, letter = tokenizer.convert_tokens_to_ids([SIGN, LETTER])
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * NOISE)
        embeddings, last = model.model.embed_tokens.weight, model.model.layers[-1].self_attn
        embeddings[:, 2:] += torch.randn(len(embeddings), tiny.HIDDEN - 2, generator=generator)
        embeddings[sign] *= 0.1
        embeddings[sign, 0] += 4.0
        last.v_proj.weight[0, 0] += 1.0
        last.o_proj.weight[1, 0] += 12.0
        model.lm_head.weight[letter, 1] += 5.0
    return model, tokenizer
