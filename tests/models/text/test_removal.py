"""Taking tokens away: what is left, and that the model sees neither more nor less."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import tiny
from narrows.data.example import Example
from narrows.errors import InputError, ModelError
from narrows.models.predict import predict
from narrows.models.text.encoding import Encoding, encode
from narrows.models.text.removal import check_removal, remove
from tiny import Classifier

WORDPIECE = tiny.wordpiece_tokenizer()
ENCODERS = ["bert", "distilbert", "electra", "roberta"]
TEXT = "the film is not bad, it is good"
GONE = [1, 4, 5, 8]


def manual(classifier: Classifier, encoding: Encoding, **replaced: list[int]) -> Tensor:
    """One plain forward, on the features of one text."""
    model, _ = classifier
    features = {**encoding.features, **replaced}
    with torch.no_grad():
        logits = model(**{name: torch.tensor([values]) for name, values in features.items()}).logits
    return logits.double().softmax(-1)[0]


def seen_by(classifier: Classifier, encoding: Encoding) -> Tensor:
    return torch.from_numpy(predict(*classifier, [encoding])[0])


def test_deleting_takes_tokens_out_of_every_feature() -> None:
    pair = encode(WORDPIECE, Example("good film", "bad act"), None)
    assert pair.tokens == ("[CLS]", "good", "film", "[SEP]", "bad", "act", "[SEP]")
    shorter = remove(pair, [1, 5], "delete", WORDPIECE)
    assert shorter.tokens == ("[CLS]", "film", "[SEP]", "bad", "[SEP]")
    assert shorter.features["token_type_ids"] == [0, 0, 0, 1, 1]
    assert WORDPIECE.convert_ids_to_tokens(shorter.features["input_ids"]) == list(shorter.tokens)
    assert shorter.segments == (None, 0, None, 1, None)
    assert shorter.offsets == (None, (5, 9), None, (0, 3), None)


@given(text=st.text("abc .", min_size=1, max_size=20).filter(str.strip), data=st.data())
def test_what_is_left_is_what_was_not_removed(text: str, data: st.DataObject) -> None:
    encoding = encode(WORDPIECE, Example(text), None)
    gone = data.draw(st.sets(st.integers(0, len(encoding) - 1)))
    left = [place for place in range(len(encoding)) if place not in gone]
    deleted = remove(encoding, gone, "delete", WORDPIECE)
    for name, values in encoding.features.items():
        assert deleted.features[name] == [values[place] for place in left]
    for name in ("tokens", "offsets", "segments"):
        assert getattr(deleted, name) == tuple(getattr(encoding, name)[place] for place in left)
    masked, unseen = (remove(encoding, gone, removal, WORDPIECE) for removal in ("mask", "attention"))  # type: ignore[arg-type]
    for place in range(len(encoding)):
        token = encoding.features["input_ids"][place]
        assert masked.features["input_ids"][place] == (WORDPIECE.mask_token_id if place in gone else token)
        assert unseen.features["attention_mask"][place] == (place not in gone)
    for other, changed in ((masked, "input_ids"), (unseen, "attention_mask")):
        assert {**other.features, changed: None} == {**encoding.features, changed: None}
        assert (other.tokens, other.offsets, other.segments) == (encoding.tokens, encoding.offsets, encoding.segments)


@pytest.mark.parametrize("removal", ["delete", "mask", "attention"])
def test_the_text_itself_stays_as_it_was(removal: str) -> None:
    encoding, again = (encode(WORDPIECE, Example(TEXT), None) for _ in range(2))
    changed = remove(encoding, GONE, removal, WORDPIECE)  # type: ignore[arg-type]
    assert encoding == again
    assert changed != encoding
    assert remove(encoding, [], removal, WORDPIECE) == encoding  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ENCODERS)
def test_the_model_sees_the_text_that_is_left(make_classifier: Callable[..., Classifier], family: str) -> None:
    classifier = make_classifier(family)
    _, tokenizer = classifier
    encoding = encode(tokenizer, Example(TEXT), None)
    places = range(len(encoding))
    ids = encoding.features["input_ids"]

    deleted = {name: [values[i] for i in places if i not in GONE] for name, values in encoding.features.items()}
    masked = [tokenizer.mask_token_id if i in GONE else ids[i] for i in places]
    unseen = [0 if i in GONE else 1 for i in places]
    for removal, expected in (
        ("delete", manual(classifier, encoding, **deleted)),
        ("mask", manual(classifier, encoding, input_ids=masked)),
        ("attention", manual(classifier, encoding, attention_mask=unseen)),
    ):
        found = seen_by(classifier, remove(encoding, GONE, removal, tokenizer))  # type: ignore[arg-type]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(found, seen_by(classifier, encoding), atol=1e-3)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ENCODERS)
def test_a_model_without_positions_cannot_tell_an_unseen_token_from_a_deleted_one(
    make_classifier: Callable[..., Classifier], family: str, attention: str
) -> None:
    model, tokenizer = make_classifier(family)
    model.set_attn_implementation(attention)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("position_embeddings.weight"):
                parameter.zero_()
    encoding = encode(tokenizer, Example(TEXT), None)
    content = [place for place, segment in enumerate(encoding.segments) if segment is not None]
    variants = [
        remove(encoding, gone, removal, tokenizer)  # type: ignore[arg-type]
        for gone in (GONE, content)
        for removal in ("attention", "delete")
    ]
    some, some_deleted, all_, all_deleted = predict(model, tokenizer, variants)
    assert some == pytest.approx(some_deleted, abs=1e-5)
    assert all_ == pytest.approx(all_deleted, abs=1e-5)
    assert some != pytest.approx(all_, abs=1e-3)


def test_a_tokenizer_that_gives_no_attention_mask_gets_one() -> None:
    encoding = encode(WORDPIECE, Example("good film"), None)
    bare = Encoding(
        {"input_ids": encoding.features["input_ids"]}, encoding.tokens, encoding.offsets, encoding.segments, 0
    )
    assert remove(bare, [1], "attention", WORDPIECE).features["attention_mask"] == [1, 0, 1, 1]


def test_what_was_out_of_sight_stays_so() -> None:
    once = remove(encode(WORDPIECE, Example("good film"), None), [1], "attention", WORDPIECE)
    assert remove(once, [2], "attention", WORDPIECE).features["attention_mask"] == [1, 0, 0, 1]


def test_ways_that_there_are_not_and_missing_mask_tokens_are_refused() -> None:
    without = tiny.byte_tokenizer(roberta=False)
    with pytest.raises(ModelError, match="no mask token: remove tokens by 'delete' or 'attention'"):
        remove(encode(without, Example("good"), None), [0], "mask", without)
    with pytest.raises(InputError, match="delete, mask, attention, replace, not 'blur'"):
        check_removal("blur", WORDPIECE)
    for removal in ("delete", "attention"):
        check_removal(removal, without)
