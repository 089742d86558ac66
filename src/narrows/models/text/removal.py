"""Removing tokens from an encoded text: delete them, mask them, or hide them from attention."""

from collections.abc import Collection
from dataclasses import replace
from typing import Literal, get_args

from transformers import PreTrainedTokenizerBase

from narrows.errors import InputError, ModelError
from narrows.models.text.encoding import Encoding, take

Removal = Literal["delete", "mask", "attention"]


def check_removal(removal: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise an InputError if there is no such way to remove tokens, a ModelError if the tokenizer has no mask token."""
    if removal not in get_args(Removal):
        raise InputError(f"tokens are removed by {', '.join(get_args(Removal))}, not {removal!r}")
    if removal == "mask" and tokenizer.mask_token_id is None:
        raise ModelError("the tokenizer has no mask token: remove tokens by 'delete' or 'attention'")


def remove(
    encoding: Encoding, positions: Collection[int], removal: Removal, tokenizer: PreTrainedTokenizerBase
) -> Encoding:
    """Take tokens out of an encoded text, replace them by the mask token, or let no token attend to them."""
    check_removal(removal, tokenizer)
    gone = set(positions)
    if removal == "delete":
        return take(encoding, [place for place in range(len(encoding)) if place not in gone])
    name, filling = ("input_ids", tokenizer.mask_token_id) if removal == "mask" else ("attention_mask", 0)
    values = encoding.features.get(name, [1] * len(encoding))
    changed = [filling if place in gone else value for place, value in enumerate(values)]
    return replace(encoding, features={**encoding.features, name: changed})
