"""Questions about what is left of a text, many at once: against one plain call of the model for each."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import families
import tiny
from narrows.explainer import Explainer
from narrows.models import variants as module
from narrows.models.heads.goals import Goal, all_of
from narrows.models.heads.target import Answer, Blank, Contrast, Tag, Target
from narrows.models.heads.task import Question, Variant
from narrows.models.text.reader import Reader
from narrows.models.variants import p_target, removable, resolve, run_variants, without
from plainly import logits_without, p_continued
from tiny import Classifier

REMOVALS = ("delete", "replace", "attention")
TEXTS = st.text("ab c.", min_size=1, max_size=8).filter(str.strip)


def language_model(stem: str = "Llama") -> Classifier:
    """A decoder in float64 whose tokens are bytes."""
    tokenizer = tiny.byte_tokenizer(roberta=False)
    head = {"Llama": "ForCausalLM", "GPT2": "LMHeadModel"}[stem]
    model, _ = families.of_task(stem, head, pad_token_id=0, bos_token_id=0, eos_token_id=0)
    return model.double(), tokenizer


LLAMA, GPT2 = language_model("Llama"), language_model("GPT2")
BAD = LLAMA[1](" bad").input_ids


@functools.cache
def reader_of(classifier: Classifier) -> Reader:
    """What turns texts into questions."""
    return Reader(*classifier, None, "truncate")


def asked(classifier: Classifier, text: Any, target: Target) -> tuple[Question, Goal]:
    """A question and its goal, as an `Explainer` makes them."""
    (question,) = reader_of(classifier).ask(text, target).questions
    (answer,) = resolve(*classifier, reader_of(classifier).task, [question])
    return question, answer.goal


def judged(classifier: Classifier, questions: Sequence[Any], gone: Sequence[Sequence[int]], removal: Any) -> Any:
    """p(target) and the decision of each, (texts, 2)."""
    model, tokenizer = classifier
    task = reader_of(classifier).task
    pairs = zip(questions, gone, strict=True)
    left = [without(task, tokenizer, own, absent, removal) for own, absent in pairs]

    def both(some: list[Variant], logits: Tensor) -> Any:
        decided = [float(task.decide(variant, own)) for variant, own in zip(some, logits, strict=True)]
        return np.stack([p_target(some, logits), decided], axis=1)

    return run_variants(model, tokenizer, task, left, both)


@pytest.mark.parametrize("removal", REMOVALS)
@pytest.mark.parametrize("classifier", [LLAMA, GPT2], ids=["llama", "gpt2"])
@settings(max_examples=20)
@given(text=TEXTS, other=TEXTS, target=st.text("ab ", min_size=2, max_size=3), data=st.data())
def test_any_removal_is_a_plain_call_on_what_is_left(
    classifier: Classifier, removal: str, text: str, other: str, target: str, data: st.DataObject
) -> None:
    """A next token and a continuation, two texts of different lengths in one batch, any tokens of the prompts gone."""
    tokenizer = classifier[1]
    prompts = [tokenizer(own).input_ids for own in (text, other)]
    wanted = [tokenizer(target).input_ids, [5]]
    gone = [sorted(data.draw(st.sets(st.integers(0, len(own) - 1)))) for own in prompts]
    questions = [asked(classifier, text, wanted[0]), asked(classifier, other, 5)]
    found = judged(classifier, questions, gone, removal)
    for own, prompt, absent, ids in zip(found, prompts, gone, wanted, strict=True):
        assert own[0] == pytest.approx(p_continued(classifier, prompt, absent, removal, ids), rel=1e-9)
        assert own[1] == int(logits_without(classifier, prompt, absent, removal, ids[:-1])[0].argmax())


def test_without_its_last_token_a_prompt_is_read_at_the_one_before() -> None:
    text, prompt = "a good film", LLAMA[1]("a good film").input_ids
    whole = judged(LLAMA, [asked(LLAMA, text, 7)], [[]], "delete")[0, 0]
    for removal in ("delete", "attention"):
        found = judged(LLAMA, [asked(LLAMA, text, 7)], [[len(prompt) - 1]], removal)[0, 0]
        shorter = judged(LLAMA, [asked(LLAMA, text[:-1], 7)], [[]], "delete")[0, 0]
        assert found == pytest.approx(shorter, rel=1e-9)
        assert found != pytest.approx(whole, rel=1e-3)


def test_of_a_language_model_the_prompt_can_be_removed_but_not_the_continuation() -> None:
    task = reader_of(LLAMA).task
    question, goal = asked(LLAMA, "a film", BAD)
    assert len(question.encoding) == len("a film") + len(" bad") - 1
    assert removable(task, question, goal) == list(range(6))
    assert removable(task, question, goal, keep_read=True) == list(range(5))
    question, goal = asked(LLAMA, "a film", Contrast(5, 7))
    assert removable(task, question, goal) == list(range(6))
    assert removable(task, question, goal, keep_read=True) == list(range(5))


def plain(classifier: Classifier, features: Any) -> Any:
    with torch.no_grad():
        return classifier[0](**{name: torch.tensor([values]) for name, values in features.items()})


def left_of(encoding: Any, gone: Sequence[int], removal: str, tokenizer: Any) -> tuple[dict[str, list[int]], list[int]]:
    """The features of what is left, and where its tokens stood."""
    places = [place for place in range(len(encoding)) if removal != "delete" or place not in gone]
    features = {name: [values[place] for place in places] for name, values in encoding.features.items()}
    if removal == "mask":
        features["input_ids"] = [
            tokenizer.mask_token_id if place in gone else token for place, token in enumerate(features["input_ids"])
        ]
    return features, places


SPAN = {"num_labels": 2, "id2label": {0: "start", 1: "end"}}
PAIR = {"question": "is it bad", "context": "a good film, not bad"}


@pytest.mark.parametrize("removal", ["delete", "mask"])
@settings(max_examples=20)
@given(data=st.data())
def test_a_blank_is_filled_where_it_is_now(removal: str, data: st.DataObject) -> None:
    classifier = MASKED
    question, goal = asked(classifier, "a [MASK] film is [MASK] not good", Blank(1, "bad"))
    task = reader_of(classifier).task
    blank = [p for p, token in enumerate(question.encoding.tokens) if token == "[MASK]"][1]
    free = removable(task, question, goal)
    assert blank not in free and len(free) == len(question.encoding) - 3
    gone = sorted(data.draw(st.sets(st.sampled_from(free))))
    features, places = left_of(question.encoding, gone, removal, classifier[1])
    logits = plain(classifier, features).logits[0, places.index(blank)]
    bad = classifier[1].convert_tokens_to_ids("bad")
    (found,) = judged(classifier, [(question, goal)], [gone], removal)
    assert found[0] == pytest.approx(float(logits.double().softmax(-1)[bad]), rel=1e-5)
    assert found[1] == int(logits.argmax())


@pytest.mark.parametrize("removal", ["delete", "mask"])
@settings(max_examples=20)
@given(data=st.data())
def test_a_word_is_tagged_where_it_is_now(removal: str, data: st.DataObject) -> None:
    classifier = TAGGER
    question, goal = asked(classifier, "the acting is not very good", Tag("acting", "positive"))
    task = reader_of(classifier).task
    word = [p for p, token in enumerate(question.encoding.tokens) if token in ("act", "##ing")]
    free = removable(task, question, goal)
    assert len(word) == 2 and set(free).isdisjoint(word) and len(free) == len(question.encoding) - 4
    gone = sorted(data.draw(st.sets(st.sampled_from(free))))
    features, places = left_of(question.encoding, gone, removal, classifier[1])
    logits = plain(classifier, features).logits[0, places.index(word[0])]
    (found,) = judged(classifier, [(question, goal)], [gone], removal)
    assert found[0] == pytest.approx(float(logits.double().softmax(-1)[2]), rel=1e-6)
    assert found[1] == int(logits.argmax())


@pytest.mark.parametrize("removal", ["delete", "mask"])
@settings(max_examples=20)
@given(data=st.data())
def test_an_answer_is_found_where_it_is_now(removal: str, data: st.DataObject) -> None:
    classifier = ANSWERER
    question, goal = asked(classifier, PAIR, Answer(2, 11))
    task = reader_of(classifier).task
    answer = [p for p, s in enumerate(question.encoding.segments) if s == 1][1:3]
    assert [question.encoding.tokens[p] for p in answer] == ["good", "film"]
    free = removable(task, question, goal)
    assert set(free).isdisjoint(answer)
    gone = sorted(data.draw(st.sets(st.sampled_from(free))))
    features, places = left_of(question.encoding, gone, removal, classifier[1])
    output = plain(classifier, features)
    start, end = (own[0].double().log_softmax(-1) for own in (output.start_logits, output.end_logits))
    first, last = (places.index(place) for place in answer)
    (found,) = judged(classifier, [(question, goal)], [gone], removal)
    assert found[0] == pytest.approx(float((start[first] + end[last]).exp()), rel=1e-6)
    second = [n for n, p in enumerate(places) if question.encoding.segments[p] == 1]
    spans = [(float(start[one] + end[two]), one, two) for one in second for two in second if one <= two]
    _, one, two = max(spans)
    assert divmod(int(found[1]), 2**24) == (places[one], places[two])


MASKED = families.of_task("Bert", "ForMaskedLM")
TAGGER = families.of_task("Bert", "ForTokenClassification")
ANSWERER = families.of_task("Bert", "ForQuestionAnswering", **SPAN)


@pytest.fixture
def computed() -> Iterator[list[int]]:
    """How many logits the head of the Llama computes: positions in each pass."""
    counts: list[int] = []

    def count(_: nn.Module, __: Any, output: Tensor) -> None:
        counts.append(output.shape[:-1].numel())

    with LLAMA[0].lm_head.register_forward_hook(count):
        yield counts


@pytest.mark.parametrize(("target", "read"), [(None, 1), (7, 1), (BAD, 4), (Contrast(5, 7), 1)])
def test_logits_are_computed_only_where_they_are_read(computed: list[int], target: Target, read: int) -> None:
    texts = ["a good film", "abcdefg"]
    for _ in range(2):  # the first time a plain call is compared with
        computed.clear()
        Explainer(*LLAMA, "occlusion", "instance")(texts, [target] * 2)
    # Each text as it is for its prediction and for its map, and without each token.
    assert sum(computed) == read * (2 + 2 + sum(map(len, texts)))


def test_a_pass_holds_no_more_logits_than_fit(computed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    question, goal = asked(LLAMA, "a good film", BAD)
    monkeypatch.setattr(module, "MOST_LOGITS", 3 * 4 * LLAMA[0].config.vocab_size)
    questions, gone = [(question, goal)] * 11, [[place] for place in range(11)]
    together = judged(LLAMA, questions, gone, "delete")
    assert max(computed) == 3 * 4
    monkeypatch.undo()
    assert judged(LLAMA, questions, gone, "delete") == pytest.approx(together, rel=1e-9)


def test_tokens_are_aimed_at_one_after_the_other() -> None:
    logits = torch.randn(2, 3, 7)  # samples, places, vocabulary
    log_p = logits.log_softmax(-1)
    torch.testing.assert_close(all_of([4])(logits), -log_p[:, 0, 4])
    torch.testing.assert_close(all_of([4, 2])(logits), -log_p[:, 0, 4] - log_p[:, 1, 2])
