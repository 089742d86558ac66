"""Removing tokens from an encoded text: delete, mask or replace them, or hide them from attention."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Literal, get_args

from transformers import PreTrainedTokenizerBase

from narrows.errors import InputError, ModelError
from narrows.models.text.encoding import Encoding, take

Removal = Literal["delete", "mask", "attention", "replace"]
# A lone space, as byte-level and SentencePiece tokenizers spell it: decoders read one everywhere, and it says nothing.
# The end of text would say much: that what follows is another text.
SPACES = ("\u0120", "\u2581")


def check_removal(removal: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise an InputError if there is no such way to remove tokens, a ModelError if the tokenizer has no mask token."""
    if removal not in get_args(Removal):
        raise InputError(f"tokens are removed by {', '.join(get_args(Removal))}, not {removal!r}")
    if removal == "mask" and tokenizer.mask_token_id is None:
        raise ModelError("the tokenizer has no mask token: remove tokens by 'delete', 'replace' or 'attention'")
    if removal == "replace" and neutral_token(tokenizer) is None:
        raise ModelError("the tokenizer has no neutral token: remove tokens by 'delete' or 'attention'")


def neutral_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Choose what stands for removed tokens: a lone space, else the unknown token, else padding; None without any."""
    ends = (tokenizer.eos_token_id, tokenizer.bos_token_id, None)  # never one that begins or ends texts
    for spelled in SPACES:
        token: Any = tokenizer.convert_tokens_to_ids(spelled)
        if token not in ends and not str(tokenizer.decode([token])).strip():
            return int(token)
    others: Any = (tokenizer.unk_token_id, tokenizer.pad_token_id)
    return next((token for token in others if token not in ends), None)


def remove(
    encoding: Encoding, positions: Collection[int], removal: Removal, tokenizer: PreTrainedTokenizerBase
) -> Encoding:
    """Take tokens out of an encoded text, put the mask or a neutral token there, or let no token attend to them."""
    check_removal(removal, tokenizer)
    gone = set(positions)
    if removal == "delete":
        return take(encoding, [place for place in range(len(encoding)) if place not in gone])
    filling: Any = 0
    name = "attention_mask" if removal == "attention" else "input_ids"
    if removal != "attention":
        filling = tokenizer.mask_token_id if removal == "mask" else neutral_token(tokenizer)
    values = encoding.features.get(name, [1] * len(encoding))
    changed = [filling if place in gone else value for place, value in enumerate(values)]
    return replace(encoding, features={**encoding.features, name: changed})
