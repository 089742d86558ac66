"""A BERT with a planted shortcut: one word alone decides the label, so every sane method must rank it first.

Its weights are set by hand. The word carries a flag in the first two features of its embedding; the blocks hand
everything on, but for the last, in which every token looks at the flagged one and takes the flag over; the head reads
the flag at [CLS]. A little noise on all weights keeps the rest from being exactly nothing. LayerNorm adds much to the
variance before it divides by it: what does not change with the scale of an embedding has no gradient along it, and
gradient x input would be 0 for every token.
"""

from __future__ import annotations

import torch
from transformers import BertConfig, BertForSequenceClassification

import tiny
from narrows.data.example import Example
from narrows.models.hub.loading import LoadedModel
from narrows.models.text.encoding import Encoding

WORD = "good"
TARGET = 1  # what the word speaks for: "positive"
NOISE = 0.01
ADDED_VARIANCE, VARIANCE = 10.0, 1.25  # the second is what the features of a token tend to

EXAMPLES = (
    Example("good"),
    Example("the film is good"),
    Example("good act but a bad film"),
    Example("it is a very good film with the bad actor not acting"),
    Example("superb acting", "the film is good"),
    Example("a good film", "not very bad, it is the superb act of the film!"),
)


def planted_classifier(seed: int = 0) -> LoadedModel:
    """Build the classifier: p(positive) is above 0.9 with the word and below 0.15 without it.

    Args:
        seed: Of the noise, and of the embeddings of the other words.

    Returns:
        A classifier with three blocks.
    """
    tokenizer = tiny.wordpiece_tokenizer()
    labels = {0: "negative", 1: "positive"}
    config = BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=64,
        layer_norm_eps=ADDED_VARIANCE,
        **tiny.ENCODER,
        num_labels=2,
        id2label=labels,
        label2id={name: index for index, name in labels.items()},
    )
    model = BertForSequenceClassification(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * NOISE)
            if "LayerNorm.weight" in name:
                weight.add_((ADDED_VARIANCE + VARIANCE) ** 0.5)
        _plant(model, tokenizer.convert_tokens_to_ids(WORD), generator)
    return LoadedModel(model, tokenizer, "planted", None)


def planted_positions(encoding: Encoding) -> list[int]:
    """The tokens that decide."""
    return [position for position, token in enumerate(encoding.tokens) if token == WORD]


def _plant(model: BertForSequenceClassification, word: int, generator: torch.Generator) -> None:
    embeddings, last = model.bert.embeddings.word_embeddings.weight, model.bert.encoder.layer[-1].attention
    other = torch.randn(len(embeddings), tiny.HIDDEN - 2, generator=generator)
    embeddings[:, 2:] += other - other.mean(dim=1, keepdim=True)
    embeddings[word, :2] += torch.tensor([4.0, -4.0])  # sums to 0, as the rest does: LayerNorm leaves it in its place
    last.self.query.bias[0] += 4.0
    last.self.key.weight[0, 0] += 1.5
    last.self.value.weight[0, 0] += 1.0
    last.output.dense.weight[:2, 0] += torch.tensor([1.0, -1.0])
    model.bert.pooler.dense.weight[0, 0] += 0.7
    model.bert.pooler.dense.bias[0] -= 1.0
    model.classifier.weight[:, 0] += torch.tensor([-2.0, 2.0])
