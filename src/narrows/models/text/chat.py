"""Messages of a chat as the one text that a model reads, by the tokenizer's own template."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, cast

from transformers import PreTrainedTokenizerBase

from narrows.data.example import Example
from narrows.errors import InputError, first_line, shown

Message = Mapping[str, Any]


def read_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], answering: bool) -> Example:
    """Write messages as one text, whose `parts` are their contents; all else is the template's."""
    # The text ends where the answer begins, or, if the last message is the assistant's, where that breaks off; of a
    # classifier, which does not answer, with the last message.
    if not tokenizer.chat_template:
        advice = "give the prompt as text, or set tokenizer.chat_template"
        raise InputError(f"{type(tokenizer).__name__} has no chat template, so messages cannot be read: {advice}")
    contents = [_content(place, message) for place, message in enumerate(messages)]
    if not any(content.strip() for content in contents):
        raise InputError("the messages are empty: there is nothing to explain")
    prefilled = answering and messages[-1]["role"] == "assistant"
    options = {"add_generation_prompt": answering and not prefilled, "continue_final_message": prefilled}
    text = _written(tokenizer, messages, options)
    marks = _marks(text, contents)
    pairs = zip(messages, contents, marks, strict=True)
    marked = [{**message, "content": mark if content.strip() else content} for message, content, mark in pairs]
    kept = [(content, mark) for content, mark in zip(contents, marks, strict=True) if content.strip()]
    spans = find_parts(text, _written(tokenizer, marked, options), kept)
    if spans is None:
        advice = "explain the text of apply_chat_template(messages, tokenize=False) instead"
        raise InputError(f"the chat template changes the messages, so they cannot be found in its text: {advice}")
    return Example(text, parts=tuple(spans))


def find_parts(text: str, scaffold: str, contents: Sequence[tuple[str, str]]) -> list[tuple[int, int]] | None:
    """Find contents in the text of a template, by the text that it made of a mark in the place of each.

    A template may take white space off the ends of a content. None if it changed more, or moved or dropped one.

    Example:
        >>> find_parts("<user> Hi!<end>", "<user> @0@<end>", [("Hi! ", "@0@")])
        [(7, 10)]
    """
    pieces, rest = [], scaffold
    for _, mark in contents:
        before, found, rest = rest.partition(mark)
        if not found:
            return None
        pieces.append(before)
    if any(mark in piece for _, mark in contents for piece in (*pieces, rest)):
        return None  # written twice
    spans: list[tuple[int, int]] = []
    place = 0
    for (content, _), before, after in zip(contents, pieces, [*pieces[1:], rest], strict=True):
        if not text.startswith(before, place):
            return None
        place += len(before)
        kept = [own for own in _variants(content) if text.startswith(own + after, place)]
        if not kept:
            return None
        spans.append((place, place + len(kept[0])))
        place += len(kept[0])
    return spans if text[place:] == rest else None


def _variants(content: str) -> Iterator[str]:
    """Give a content, and what templates leave of it."""
    yield from dict.fromkeys((content, content.strip(), content.rstrip(), content.lstrip()))


def _content(place: int, message: Message) -> str:
    content = message.get("content")
    if content is None:
        return ""
    if not isinstance(content, str):
        raise InputError(f"the content of messages[{place}] must be text, not {shown(content)}")
    return content


def _marks(text: str, contents: Sequence[str]) -> list[str]:
    """Make a word for each content that stands nowhere in the text."""
    stem = next(word for number in count() if (word := f"mark{number}x") not in text)
    return [f"{stem}{place}x" for place in range(len(contents))]


def _written(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], options: Mapping[str, bool]) -> str:
    """Apply the template; whatever is wrong with the messages becomes one line."""
    chat, write = [dict(message) for message in messages], cast("Any", tokenizer).apply_chat_template
    try:
        text = write(chat, tokenize=False, **options)
    except Exception as error:  # of the template's own language, or whatever it raises itself
        raise InputError(f"the chat template refuses the messages: {first_line(error)}") from error
    return str(text)
