"""Removing tokens from an encoded text: delete them, mask them, or hide them from attention."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Literal, get_args

from transformers import PreTrainedTokenizerBase

from narrows.errors import InputError
from narrows.models.text.encoding import Encoding, take

Removal = Literal["delete", "mask", "attention"]


def check_removal(removal: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise an InputError if there is no such way to remove tokens, or the tokenizer lacks a mask token for it."""
    if removal not in get_args(Removal):
        raise InputError(f"tokens are removed by {', '.join(get_args(Removal))}, not {removal!r}")
    if removal == "mask" and tokenizer.mask_token_id is None:
        raise InputError("the tokenizer has no mask token: remove tokens by 'delete' or 'attention'")


def remove(
    encoding: Encoding, positions: Collection[int], removal: Removal, tokenizer: PreTrainedTokenizerBase
) -> Encoding:
    """Remove tokens from an encoded text.

    Args:
        encoding: The text.
        positions: Tokens to remove.
        removal: ``delete`` takes them out of the sequence, ``mask`` replaces them with the mask token, ``attention``
            keeps them but lets no token attend to them.
        tokenizer: Has the mask token.

    Returns:
        The text without them.

    Raises:
        InputError: If there is no such way, or the tokenizer has no mask token and it is needed.

    Example:
        >>> remove(encoding, [2], "mask", tokenizer).features["input_ids"]  # doctest: +SKIP
        [101, 1037, 103, 2143, 102]
    """
    check_removal(removal, tokenizer)
    gone = set(positions)
    features = encoding.features
    if removal == "mask":
        masked = [tokenizer.mask_token_id if i in gone else token for i, token in enumerate(features["input_ids"])]
        return replace(encoding, features={**features, "input_ids": masked})
    if removal == "attention":
        seen = features.get("attention_mask", [1] * len(encoding))
        hidden = [0 if i in gone else attended for i, attended in enumerate(seen)]
        return replace(encoding, features={**features, "attention_mask": hidden})
    kept = [i for i in range(len(encoding)) if i not in gone]
    return take(encoding, kept)
