"""What is timed: a BERT of a size with random weights, for speed does not hang on them, or a demo model on texts."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from narrows import Example, Prior
from narrows.data import datasets
from narrows.models.cut.blocks import identify
from narrows.models.hub.loading import LoadedModel, load_model
from narrows.models.text.encoding import Encoding, encode, token_limit

SIZES = {  # blocks, hidden, heads
    "minilm": (6, 384, 12),
    "base": (12, 768, 12),
}
WORDS = 2_000
REAL = {"sst2": "sentiment", "imdb": "sentiment", "ag_news": "topic"}  # data set, demo model


@dataclass(frozen=True)
class Workload:
    """A classifier and texts for it.

    Attributes:
        classifier: The model, its tokenizer and a prior.
        examples: The texts.
    """

    classifier: LoadedModel
    examples: list[Example]

    @cached_property
    def encodings(self) -> list[Encoding]:
        """The texts as the model reads them."""
        model, tokenizer = self.classifier.model, self.classifier.tokenizer
        return [encode(tokenizer, example, token_limit(model, tokenizer)) for example in self.examples]

    @classmethod
    def of(cls, size: str, tokens: int, texts: int, dtype: torch.dtype) -> Workload:
        """Make a workload.

        Args:
            size: A key of SIZES.
            tokens: Tokens per text, [CLS] and [SEP] among them.
            texts: How many.
            dtype: Of the weights.

        Returns:
            The workload.
        """
        blocks, hidden, heads = SIZES[size]
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=WORDS + 5,
            num_hidden_layers=blocks,
            hidden_size=hidden,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
        )
        model = BertForSequenceClassification(config).eval().to(dtype)
        shape = (blocks + 1, hidden)
        path = Path(tempfile.mkdtemp()) / "prior.safetensors"
        Prior(torch.zeros(shape), torch.ones(shape), 1, identify(model)).save(path)
        classifier = LoadedModel(model, word_tokenizer(), size, path)
        ids = torch.randint(WORDS, (texts, tokens - 2)).tolist()
        examples = [Example(" ".join(f"w{number}" for number in row)) for row in ids]
        return cls(classifier, examples)

    @classmethod
    def real(cls, dataset: str, texts: int, data: Path, model: str | None = None) -> Workload:
        """Take a model with a prior and texts of its own data set.

        Args:
            dataset: A key of REAL.
            texts: How many, drawn at random.
            data: Folder with the published files.
            model: As narrows takes it; None = the demo model.

        Returns:
            The workload.
        """
        classifier = load_model(model or REAL[dataset])
        return cls(classifier, list(datasets.load(dataset, None, data, texts)))

    @property
    def middle(self) -> int:
        """The position of a text of median length."""
        lengths = [len(encoding) for encoding in self.encodings]
        return sorted(range(len(lengths)), key=lengths.__getitem__)[len(lengths) // 2]

    @property
    def tokens(self) -> float:
        """Tokens per text, mean."""
        return sum(map(len, self.encodings)) / len(self.examples)


def word_tokenizer(specials: bool = True) -> PreTrainedTokenizerFast:
    """Make a tokenizer of whole words w0, w1, ...; with [CLS] and [SEP] around a text, or without."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: place for place, token in enumerate([*special, *(f"w{number}" for number in range(WORDS))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if not specials:
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict(zip(names, special, strict=True)))
