"""Messages of a chat: the template's text, and where the user's own words stand in it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

import families
import tiny
from narrows import Example, Explainer, estimate_prior
from narrows.errors import InputError
from narrows.models.text.chat import find_parts, read_chat
from narrows.models.text.encoding import encode

BEFORE, AFTER = "{% for message in messages %}{{ '<' + message['role'] + '>' + ", " + '<end>\\n' }}{% endfor %}"
ANSWER = "{% if add_generation_prompt %}<assistant>{% endif %}"
PLAIN = BEFORE + "message['content']" + AFTER + ANSWER
STRIPPED = BEFORE + "message['content'] | trim" + AFTER + ANSWER
SHOUTED = BEFORE + "message['content'] | upper" + AFTER + ANSWER
DEFAULT = "{% if messages[0]['role'] != 'system' %}<system>be good<end>\n{% endif %}" + PLAIN
LAST_ONLY = "<user>{{ messages[-1]['content'] }}<assistant>"
TWICE = "{{ messages[0]['content'] }}" + PLAIN
STRICT = "{% if messages[0]['role'] != 'user' %}{{ raise_exception('users come first') }}{% endif %}" + PLAIN


def tokenizer(template: str | None) -> PreTrainedTokenizerFast:
    made = tiny.byte_tokenizer(roberta=False)
    made.chat_template = template
    return made


def said(*contents: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[place % 2], "content": content} for place, content in enumerate(contents)]


# Words of the template and of each other are among them, and white space at the ends.
CONTENT = st.text(st.sampled_from("ab <>\n\u00e9\U0001f600"), max_size=6) | st.sampled_from(
    ["user", "<user>", "<end>\n", "assistant", "mark0x0x", "be good", " a ", "a", "{{ x }}"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(CONTENT, min_size=1, max_size=5), st.sampled_from([PLAIN, STRIPPED, DEFAULT]))
def test_the_parts_are_the_contents_in_their_order(contents: list[str], template: str) -> None:
    own, messages = tokenizer(template), said(*contents)
    kept = [content for content in contents if content.strip()]
    if not kept:
        with pytest.raises(InputError, match="nothing to explain"):
            read_chat(own, messages, answering=True)
        return
    example = read_chat(own, messages, answering=True)
    assert example.parts is not None
    found = [example.text[start:end] for start, end in example.parts]
    last = len(contents) % 2 == 0  # the assistant's own words, which break off there
    wanted = [content.strip() if template is STRIPPED else content for content in kept]
    assert [part.strip() for part in found] == [content.strip() for content in wanted]
    assert found[:-1] == wanted[:-1] and (last or found == wanted)
    assert all(one[1] <= other[0] for one, other in zip(example.parts, example.parts[1:], strict=False))
    # What lies outside is the template's: the same whatever is said, and never ranked.
    outside, done = "", 0
    for start, end in (*example.parts, (len(example.text), len(example.text))):
        outside, done = outside + example.text[done:start], end
    assert last or outside.replace(" ", "").endswith("<assistant>")
    encoding = encode(own, example, None)
    for segment, (start, end) in zip(encoding.segments, tiny_offsets(own, example.text), strict=True):
        inside = any(first < end and start < after for first, after in example.parts)
        assert (segment == 0) == inside


def tiny_offsets(own: PreTrainedTokenizerFast, text: str) -> list[tuple[int, int]]:
    return list(own(text, return_offsets_mapping=True)["offset_mapping"])


def test_a_text_without_parts_is_all_the_users_own() -> None:
    own = tokenizer(None)
    assert set(encode(own, Example("<user>a"), None).segments) == {0}
    assert encode(own, Example("<user>a", parts=((6, 7),)), None).segments == (*[None] * 6, 0)


@pytest.mark.parametrize(
    ("text", "scaffold", "contents", "parts"),
    [
        ("<u>a</u>", "<u>@0@</u>", [("a", "@0@")], [(3, 4)]),
        ("<u>u</u>", "<u>@0@</u>", [("u", "@0@")], [(3, 4)]),
        ("aab", "@0@@1@", [("a", "@0@"), ("ab", "@1@")], [(0, 1), (1, 3)]),
        ("<u>A</u>", "<u>@0@</u>", [("a", "@0@")], None),
        ("<u>a</u>", "<u></u>", [("a", "@0@")], None),
        ("a a", "@0@ @0@", [("a", "@0@")], None),
        ("<u>a</u>!", "<u>@0@</u>", [("a", "@0@")], None),
        ("b a", "@1@ @0@", [("a", "@0@"), ("b", "@1@")], None),
    ],
)
def test_contents_are_found_or_not(
    text: str, scaffold: str, contents: list[tuple[str, str]], parts: list[tuple[int, int]] | None
) -> None:
    assert find_parts(text, scaffold, contents) == parts


@pytest.mark.parametrize(
    ("template", "messages", "says"),
    [
        (None, said("a"), "has no chat template"),
        (SHOUTED, said("a"), "changes the messages"),
        (LAST_ONLY, said("a", "b", "c"), "changes the messages"),
        (TWICE, said("a"), "changes the messages"),
        (STRICT, [{"role": "system", "content": "a"}], "users come first"),
        (PLAIN, [{"role": "user", "content": [{"type": "text", "text": "a"}]}], r"messages\[0\] must be text"),
        (PLAIN, said(" "), "nothing to explain"),
        ("{{ nothing.at.all }}", said("a"), "refuses the messages"),
    ],
)
def test_refusals(template: str | None, messages: list[dict[str, str]], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_chat(tokenizer(template), messages, answering=True)


def test_an_answer_that_was_begun_is_gone_on_with() -> None:
    example = read_chat(tokenizer(PLAIN), said("a", "it is"), answering=True)
    assert example.text == "<user>a<end>\n<assistant>it is"
    assert read_chat(tokenizer(PLAIN), said("a"), answering=False).text == "<user>a<end>\n"


def test_messages_are_explained_like_their_text() -> None:
    model, own = families.of_task("GPT2", "LMHeadModel")
    own.chat_template = DEFAULT
    explainer = Explainer(model, own, "fast", estimate_prior(model, own, ["a good film", "it is bad"]))
    found = explainer(said("a film"))
    assert "".join(found.text[slice(*span)] for span in filter(None, found.offsets)) == "afilm"
    assert found.special.count(True) == len("<system>be good<end>\n<user><end>\n<assistant>")
    answered = explainer.generate(said("a film"), 2)
    assert len(answered) == 2 and answered.text == found.text
    several = explainer([said("a film"), said("bad")])
    assert [result.text.count("<user>") for result in several] == [1, 1]
    assert (several[0].scores == pytest.approx(found.scores, abs=1e-4)) and not several.errors


def test_a_classifier_reads_a_chat_to_its_end() -> None:
    model, own = tiny.classifier("gpt2")
    own.chat_template = PLAIN
    assert Explainer(model, own, "random")(said("a film", "good")).text == "<user>a film<end>\n<assistant>good<end>\n"
