"""Every head: what can be asked of it, what is refused, and that the loss is that of the model's own output."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

import families
from asking import negative_log_likelihood
from families import TASKS, TaskRow
from narrows.bottleneck.prior import Prior
from narrows.errors import InputError, ModelError, NarrowsError, TargetError
from narrows.explainer import Explainer
from narrows.models.cut.blocks import identify
from narrows.models.cut.network import Network
from narrows.models.cut.split import run_prefix
from narrows.models.cut.view import borrowed
from narrows.models.heads.goals import Rather
from narrows.models.heads.target import Answer, Blank, Contrast, Distribution, Tag, Target
from narrows.models.heads.task import MOST_LISTED, Names, choose, list_probabilities
from narrows.models.predict import predict
from narrows.models.text.encoding import collate, padding_id
from narrows.models.text.reader import Reader
from tiny import Classifier

QUICK: dict[str, Any] = {"method": "information:steps=2:samples=2:layer=1", "prior": "instance"}
PAIR = {"question": "is it bad", "context": "a good film, not bad"}


def built(head: str, stem: str = "Bert", **sizes: Any) -> Classifier:
    return families.of_task(stem, head, **sizes)


def loss_of(classifier: Classifier, item: Any, target: Target, beside: Any = None) -> tuple[float, Tensor, Any]:
    """The loss at the model's own activation, the model's own output for the text alone, and its encoding."""
    model, tokenizer = classifier
    reader = Reader(model, tokenizer, None, "truncate")
    questions = [*reader.ask(item, target).questions]
    if beside is not None:  # a longer text in the same batch, so that there is padding
        questions += reader.ask(*beside).questions
    padding = padding_id(model, tokenizer)
    network = Network.of(borrowed(model))
    inputs = collate([question.encoding for question in questions], padding, model.device)
    with torch.no_grad(), reader.task.reading(network.model, questions):
        prefix = run_prefix(network, inputs, [2])
        goals = [reader.task.resolve(q, logits).goal for q, logits in zip(questions, prefix.logits, strict=True)]
        nll = negative_log_likelihood(network, prefix, inputs, 2, goals)
        loss = nll(prefix.activations[2].unsqueeze(1).expand(-1, 3, -1, -1))
    assert loss.shape == (len(questions), 3)
    alone = collate([questions[0].encoding], padding, model.device)
    with torch.no_grad():
        output = network.model(**alone)
    start = getattr(output, "start_logits", None)
    own = output.logits[0] if start is None else torch.stack([start[0], output.end_logits[0]], dim=-1)
    return float(loss[0, 0]), own, questions[0].encoding


@pytest.mark.parametrize("row", TASKS, ids=lambda row: f"{row.name}, {row.stem}")
def test_every_task_of_the_matrix_gives_finite_bits_alone_and_in_a_batch(row: TaskRow) -> None:
    classifier = built(row.head, row.stem, **row.sizes)
    if row.tied:
        model = classifier[0]
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    explainer = Explainer(*classifier, **QUICK)
    items, targets = [item for item, _ in row.asked], [target for _, target in row.asked]
    for attribution, item, target in zip(explainer(items, targets), items, targets, strict=True):
        alone = explainer(item, target)
        if row.name == "a number":  # written out to its last digits
            assert float(attribution.predicted) == pytest.approx(float(alone.predicted), rel=1e-4)
        else:
            assert (attribution.target, attribution.predicted) == (alone.target, alone.predicted)
        np.testing.assert_allclose(attribution.scores, alone.scores, rtol=5e-3, atol=1e-2)
        assert 0 < alone.scores.sum() < alone.trace[0].information
        assert len(alone.words()) > 0
        assert all(0 <= p <= 1 for p in alone.probabilities.values())


def test_several_labels_at_once() -> None:
    classifier = built("ForSequenceClassification", problem_type="multi_label_classification")
    for target, index in ((None, None), ("neutral", 1)):
        loss, logits, _ = loss_of(classifier, "a good film", target, ("it is not a bad film", None))
        assert loss == pytest.approx(
            -float(logsigmoid(logits[int(logits.argmax()) if index is None else index])), rel=1e-4
        )
    loss, logits, _ = loss_of(classifier, "a good film", Contrast("negative", "positive"))
    assert loss == pytest.approx(-float(logsigmoid(logits[0] - logits[2])), rel=1e-4)
    assert loss_of(classifier, "a good film", Distribution())[0] == pytest.approx(0, abs=1e-5)
    attribution = Explainer(*classifier, **QUICK)("a good film")
    assert sum(attribution.probabilities.values()) != pytest.approx(1, abs=1e-3)


def test_a_number() -> None:
    classifier = built("ForSequenceClassification", num_labels=1, id2label={0: "score"})
    loss, logits, _ = loss_of(classifier, "a good film", None)
    assert loss == pytest.approx(0, abs=1e-6)
    attribution = Explainer(*classifier, **QUICK)("a good film")
    assert float(attribution.predicted) == pytest.approx(float(logits[0]), rel=1e-4)
    for target in (0, "score", Distribution(), torch.tensor(0)):
        assert Explainer(*classifier, **QUICK)("a good film", target).scores == pytest.approx(attribution.scores)
    with pytest.raises(TargetError, match=r"numbers, not classes.*score"):
        Explainer(*classifier, **QUICK)("a good film", Contrast(0, 1))
    with pytest.raises(TargetError, match=r"no label 1.*score \(0\)"):
        Explainer(*classifier, **QUICK)("a good film", 1)


def test_several_numbers() -> None:
    classifier = built("ForSequenceClassification", problem_type="regression")
    _, logits, _ = loss_of(classifier, "a good film", None)
    explainer = Explainer(*classifier, **QUICK)
    for target, index in (("neutral", 1), (2, 2)):
        found = explainer("a good film", target)
        name = ("negative", "neutral", "positive")[index]
        assert found.target.startswith(f"{name} = ")
        assert float(found.target.partition("= ")[2]) == pytest.approx(float(logits[index]), rel=1e-4)
        assert (found.probabilities, found.target in found.predicted) == ({}, True)
        loss, _, _ = loss_of(classifier, "a good film", target)
        assert loss == pytest.approx(0, abs=1e-6)
    goal = Reader(*classifier, None, "truncate").task.resolve
    question = Reader(*classifier, None, "truncate").ask("a good film", None).questions[0]
    moved = logits.unsqueeze(0) + torch.tensor([[1.0, 2.0, 3.0]])
    assert float(goal(question, logits).goal(moved)) == pytest.approx((1 + 4 + 9) / 2, rel=1e-5)
    assert float(goal(replace(question, target="neutral"), logits).goal(moved)) == pytest.approx(2, rel=1e-5)
    everything = explainer("a good film")
    assert everything.target == everything.predicted == explainer("a good film", Distribution()).target
    assert everything.target.count("=") == 3
    with pytest.raises(TargetError, match="numbers, not classes"):
        explainer("a good film", Contrast(0, 1))
    with pytest.raises(ModelError, match="does not choose one class"):
        predict(*classifier, [question.encoding])


@pytest.mark.parametrize("problem", ["multi_label_classification", "single_label_classification"])
def test_one_label_that_is_present_or_not(problem: str) -> None:
    classifier = built("ForSequenceClassification", num_labels=1, id2label={0: "toxic"})
    classifier[0].config.problem_type = problem
    for target in ("toxic", 0, None):
        loss, logits, _ = loss_of(classifier, "a good film", target)
        assert loss == pytest.approx(-float(logsigmoid(logits[0])), rel=1e-4)
        found = Explainer(*classifier, **QUICK)("a good film", target)
        assert found.target == "toxic"
        assert found.probabilities == pytest.approx({"toxic": float(torch.sigmoid(logits[0]))}, rel=1e-4)


def test_one_words_tag() -> None:
    classifier = built("ForTokenClassification")
    beside = ("it is not a bad film", Tag(0))
    loss, logits, encoding = loss_of(classifier, "a good film", Tag("film", "neutral"), beside)
    place = encoding.tokens.index("film")
    assert loss == pytest.approx(-float(log_softmax(logits[place], -1)[1]), rel=1e-4)
    loss, _, _ = loss_of(classifier, "a good film", Tag(2, Contrast(0, 1)))
    assert loss == pytest.approx(-float(logsigmoid(logits[place, 0] - logits[place, 1])), rel=1e-4)
    assert Explainer(*classifier, **QUICK)("a good film", Tag("film", "neutral")).target == "neutral of 'film'"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (None, r"Tag\('a'\).*'a', 'good', 'a', 'film'"),
        ("positive", "word has a tag"),
        (Tag("bad"), "'bad' .*'a good a film'"),
        (Tag("a"), r"'a' .*2 times \(words 0, 2\)"),
        (Tag(4), "words 0 to 3"),
        (Tag("film", "verb"), "no label 'verb'"),
    ],
)
def test_a_tag_that_cannot_be_explained_is_told_why(target: Target, says: str) -> None:
    with pytest.raises(TargetError, match=says):
        Explainer(*built("ForTokenClassification"), **QUICK)("a good a film", target)


def test_an_answer() -> None:
    classifier = built("ForQuestionAnswering", num_labels=2, id2label={0: "start", 1: "end"})
    for target in ("good film", Answer(2, 11)):
        loss, logits, encoding = loss_of(classifier, PAIR, target, (("is it", "the film is a very good film"), None))
        log_p = log_softmax(logits, dim=0)
        start, end = encoding.tokens.index("good"), encoding.tokens.index("film")
        assert loss == pytest.approx(-float(log_p[start, 0] + log_p[end, 1]), rel=1e-4)
    attribution = Explainer(*classifier, **QUICK)(PAIR)
    assert attribution.predicted in PAIR["context"]
    assert (
        attribution.target == attribution.predicted == max(attribution.probabilities, key=attribution.probabilities.get)
    )


def test_an_answer_that_stands_twice_is_the_more_probable_one() -> None:
    classifier = built("ForQuestionAnswering", num_labels=2, id2label={0: "start", 1: "end"})
    loss, logits, encoding = loss_of(classifier, ("is it", "good film good"), "good")
    log_p = log_softmax(logits, dim=0).sum(dim=-1)
    places = [place for place, token in enumerate(encoding.tokens) if token == "good"]
    assert loss == pytest.approx(-max(float(log_p[place]) for place in places), rel=1e-4)


def test_an_answer_that_cannot_be_explained_is_told_why() -> None:
    explainer = Explainer(*built("ForQuestionAnswering", num_labels=2, id2label={0: "start", 1: "end"}), **QUICK)
    with pytest.raises(TargetError, match="'superb'"):
        explainer(PAIR, "superb")
    with pytest.raises(InputError, match="second text"):
        explainer("is it bad")


def test_a_blank() -> None:
    classifier = built("ForMaskedLM")
    tokenizer = classifier[1]
    good = tokenizer.convert_tokens_to_ids("good")
    loss, logits, _ = loss_of(classifier, "a [MASK] film", "good", ("it is not a very [MASK] film", None))
    assert loss == pytest.approx(-float(log_softmax(logits[2], -1)[good]), rel=1e-4)
    loss, logits, _ = loss_of(classifier, "a [MASK] film [MASK]", Blank(1, "good"))
    assert loss == pytest.approx(-float(log_softmax(logits[4], -1)[good]), rel=1e-4)
    explainer = Explainer(*classifier, **QUICK)
    assert explainer("a [MASK] film", "good").target == "good"
    assert explainer("a [MASK] film").words()[1].text == "[MASK]"
    for text, target, says in (
        ("a good film", None, r"'a good film'.*\[MASK\]"),
        ("[MASK] [MASK]", None, r"Blank\(0\) to Blank\(1\)"),
        ("a [MASK]", Blank(1), "blanks 0 to 0"),
        ("a [MASK]", "goodfilm", "'goodfilm'.*single token"),
    ):
        with pytest.raises(NarrowsError, match=says):
            explainer(text, target)


@pytest.mark.parametrize("stem", ["GPT2", "Llama"])
def test_the_next_token_and_a_continuation(stem: str) -> None:
    classifier = built("LMHeadModel" if stem == "GPT2" else "ForCausalLM", stem)
    tokenizer = classifier[1]
    beside = ("it is not a very bad film", None)
    loss, logits, encoding = loss_of(classifier, "a good", None, beside)
    assert encoding.segments[-1] == 0  # no end of text behind the last token
    assert loss == pytest.approx(-float(log_softmax(logits[-1], -1).max()), rel=1e-4)
    ids = tokenizer(" film", add_special_tokens=False)["input_ids"]
    assert len(ids) > 1
    loss, logits, encoding = loss_of(classifier, "a good", " film", beside)
    log_p = log_softmax(logits, -1)
    read = len(encoding) - len(
        ids
    )  # the last place of the text, where the first token of the continuation is predicted
    assert loss == pytest.approx(-sum(float(log_p[read + i, token]) for i, token in enumerate(ids)), rel=1e-4)
    attribution = Explainer(*classifier, **QUICK)("a good", " film")
    assert (attribution.text, attribution.text_pair, attribution.target) == ("a good", " film", " film")
    assert [word.text for word in attribution.words()][:2] == ["a", "good"]
    assert {0, 1} <= set(attribution.segments) <= {0, 1, None}


def test_a_continuation_that_does_not_fit_is_refused() -> None:
    explainer = Explainer(*built("LMHeadModel", "GPT2"), **QUICK)
    with pytest.raises(InputError, match="the model takes 64"):
        explainer("a" * 60, "b" * 10)
    with pytest.raises(InputError, match="reads one text"):
        explainer(("a", "b"), "c")


def test_a_contrast_and_the_whole_distribution_of_a_classifier() -> None:
    classifier = built("ForSequenceClassification")
    loss, logits, _ = loss_of(classifier, "a good film", Contrast("positive", 0))
    assert loss == pytest.approx(-float(logsigmoid(logits[2] - logits[0])), rel=1e-4)
    assert loss_of(classifier, "a good film", Distribution())[0] == pytest.approx(0, abs=1e-5)
    explainer = Explainer(*classifier, **QUICK)
    assert explainer("a good film", Contrast("positive", 0)).target == "positive rather than negative"
    with pytest.raises(TargetError, match="given twice"):
        explainer("a good film", Contrast("positive", 2))
    with pytest.raises(TargetError, match=r"a label.*Tag\("):
        explainer("a good film", Tag("good"))
    several = explainer(["a good film", "bad"], [Contrast(0, 1), None])
    assert several[0].target == "negative rather than neutral"


def test_heads_without_a_target_are_refused() -> None:
    model, tokenizer = built("ForConditionalGeneration", "Bart")
    with pytest.raises(ModelError, match="BartForConditionalGeneration cannot be explained"):
        Explainer(model, tokenizer, **QUICK)


def test_an_encoder_and_its_decoder_have_a_prior_of_both_sides() -> None:
    model, tokenizer = families.classifier(next(row for row in families.FAMILIES if row.name == "BART"))
    identity = identify(model)
    assert (identity.hidden, identity.blocks) == (32, 5)
    prior = Prior(torch.zeros(6, 32), torch.ones(6, 32), 10, identity)
    for layer in (0, 3, 5):
        assert (
            Explainer(model, tokenizer, f"paper:layer={layer}:steps=1:samples=1", prior)("a good film").scores.sum() > 0
        )


@given(
    values=st.lists(st.sampled_from([-2.0, 0.0, 0.5, 3.0]), min_size=2, max_size=12),
    spelled=st.lists(st.sampled_from("ab"), min_size=12, max_size=12),
    chosen=st.tuples(st.none() | st.integers(0, 11), st.none() | st.integers(0, 11)),
)
def test_tokens_that_read_the_same_are_told_apart(
    values: list[float], spelled: list[str], chosen: tuple[int | None, int | None]
) -> None:
    """The target keeps its name; the first is what the model predicts, and each has the probability of its token."""
    logits = torch.tensor(values)
    index, other = (None if one is None else one % len(values) for one in chosen)
    choice = index if index is None or other in (None, index) else Contrast(index, other)
    names = Names(lambda token: spelled[token], int)
    goal, _ = choose(choice, logits, names)
    listed, p = list_probabilities(logits, names, goal), logits.double().softmax(dim=-1).tolist()
    target = goal.index  # type: ignore[attr-defined]
    assert listed[spelled[target]] == pytest.approx(p[target])
    numbers = {f"{spelled[token]} ({token})": token for token in range(len(values))}
    for name, found in listed.items():
        alike = [p[token] for token, own in enumerate(spelled[: len(values)]) if own == name]
        assert found == pytest.approx(p[numbers[name]]) if name in numbers else found in map(pytest.approx, alike)
    assert list(listed.values()) == sorted(listed.values(), reverse=True)
    assert max(p) == pytest.approx(next(iter(listed.values())))
    wanted = {target, *([goal.other] if isinstance(goal, Rather) else [])}
    assert len(listed) >= min(len(values), MOST_LISTED) and len(listed) <= MOST_LISTED + len(wanted)


def test_what_is_predicted_is_not_taken_for_a_target_that_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = families.of_task("Llama", "ForCausalLM", vocab_size=len(families.tokenizer("pieces")))
    explainer = Explainer(model, tokenizer, "random", "instance")
    ((best,),) = (tokens["ids"] for tokens in explainer("a good film").record["target_tokens"])
    twin = (best + 1) % len(tokenizer)
    decode, alike = tokenizer.decode, ([best], [twin])
    monkeypatch.setattr(tokenizer, "decode", lambda own, **_: "same" if own in alike else decode(own))
    found = explainer("a good film", twin)
    assert found.predicted == f"{found.target} ({best})"
    assert found.probability < found.probabilities[found.predicted] == max(found.probabilities.values())
