"""What follows a text, as tokens: found in the context of the text, or given as ids."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from narrows.data.example import Example
from narrows.errors import TargetError
from narrows.models.text.encoding import Encoding, encode, private_tokenizer, take

# Tokenizers like SentencePiece put a space before a text: behind one of these characters a continuation has none.
ANCHORS = ("\n", ".", "a", "0")


@dataclass(frozen=True)
class Continuation:
    """The tokens that follow a text; `text` is how they read there, and `name` what results call them."""

    ids: tuple[int, ...]
    text: str
    name: str
    rival: bool = False  # held against another one: explained by log p, of which two can be subtracted


def without_end(tokenizer: PreTrainedTokenizerBase, text: str, encoding: Encoding) -> Encoding:
    """Take off the end of text that some tokenizers put after every text, as nothing follows it; not one as written."""
    end, written = str(tokenizer.eos_token), 0
    while (text := text.rstrip()).endswith(end):
        text, written = text.removesuffix(end), written + 1
    ids = encoding.features["input_ids"]
    ends = next((place for place, token in enumerate(reversed(ids)) if token != tokenizer.eos_token_id), len(ids))
    return take(encoding, range(len(ids) - 1)) if ends > written else encoding


def given_as_ids(tokenizer: PreTrainedTokenizerBase, before: Sequence[int], ids: Sequence[object]) -> Continuation:
    """Make a continuation of token ids that follow those of a text."""
    known = [token for token in ids if isinstance(token, int) and not isinstance(token, bool)]
    if len(known) != len(ids) or not known or not all(0 <= token < len(tokenizer) for token in known):
        raise TargetError(f"a continuation of token ids has some of 0 to {len(tokenizer) - 1}, not {list(ids)!r:.60}")
    text = _read(tokenizer, [*before, *known])[len(_read(tokenizer, before)) :]
    if not text.strip():  # the end of text, or a part of a character
        text = "".join(map(str, tokenizer.convert_ids_to_tokens(known)))
    return Continuation(tuple(known), text, f"{text} (tokens {', '.join(map(str, known))})")


def given_as_text(tokenizer: PreTrainedTokenizerBase, text: str, before: Encoding, target: str) -> Continuation:
    """Find the tokens of a continuation behind those of a text, as the model would have to produce them."""
    # They are the rest of text and continuation, tokenised as one, if that begins with the tokens of the text. Else the
    # two would share a token: then tokens that read the same behind those of the text, or a `TargetError`.
    given = before.features["input_ids"]
    joined = text + target
    whole = without_end(tokenizer, joined, encode(tokenizer, Example(joined), None)).features["input_ids"]
    if whole[: len(given)] == given and len(whole) > len(given):
        return Continuation(tuple(whole[len(given) :]), target, target)
    wanted = _read(tokenizer, given) + target
    for ids in _candidates(tokenizer, target):
        if ids and (before.segments[-1] is None or _read(tokenizer, [*given, *ids]) == wanted):
            return Continuation(tuple(ids), target, target)
    advice = "give its token ids, for example those that the model generated"
    raise TargetError(f"no tokens read {target!r:.60} behind {text[-30:]!r}: {advice}")


def append(tokenizer: PreTrainedTokenizerBase, encoding: Encoding, continuation: Continuation, count: int) -> Encoding:
    """Put the first tokens of a continuation behind a text, as the second text of a pair, for the model to read."""
    before, ids = encoding.features["input_ids"], list(continuation.ids[:count])
    start, size = len(_read(tokenizer, before)), len(continuation.text)
    ends = [min(len(_read(tokenizer, [*before, *ids[:end]])) - start, size) for end in range(1, count + 1)]
    special = [token in tokenizer.all_special_ids for token in ids]
    spans = [(min(max(first, 0), max(end, 0)), max(end, 0)) for first, end in zip([0, *ends], ends, strict=False)]
    fillings = {"input_ids": ids}
    return replace(
        encoding,
        features={name: [*own, *fillings.get(name, [1] * count)] for name, own in encoding.features.items()},
        tokens=(*encoding.tokens, *map(str, tokenizer.convert_ids_to_tokens(ids))),
        offsets=(*encoding.offsets, *(None if own else span for own, span in zip(special, spans, strict=True))),
        segments=(*encoding.segments, *(None if own else 1 for own in special)),
    )


def _candidates(tokenizer: PreTrainedTokenizerBase, target: str) -> Iterator[list[int]]:
    """Tokenise a continuation in different company, and take what is its own."""
    yield _plain(tokenizer, target)
    for anchor in ANCHORS:
        alone, joined = _plain(tokenizer, anchor), _plain(tokenizer, anchor + target)
        if joined[: len(alone)] == alone:
            yield joined[len(alone) :]


def _plain(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    with private_tokenizer(tokenizer) as own:
        return list(own(text, add_special_tokens=False)["input_ids"])


def _read(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
