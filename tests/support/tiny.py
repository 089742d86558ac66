"""Tiny random classifiers of real architectures, with tokenizers made on the spot: nothing is downloaded."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from narrows.explainer import Explainer
from narrows.methods.embeddings import check_embeddings
from narrows.models.corpus import sinks_of
from narrows.models.cut.leak import check_cut
from narrows.models.cut.network import Network
from narrows.models.padding import sees_padding

Classifier = tuple[PreTrainedModel, PreTrainedTokenizerFast]

HIDDEN = 16
BLOCKS = 3
WORDS = ["good", "bad", "film", "the", "a", "not", "very", "it", "is", "act", "##ing", "##ed", "super", "##b"]


def wordpiece_tokenizer(token_types: bool = True) -> PreTrainedTokenizerFast:
    """WordPiece over a few words and all ASCII characters, with BERT's special tokens and pair encoding."""
    pieces = [*string.ascii_lowercase, *string.digits, *string.punctuation, *[f"##{c}" for c in string.ascii_lowercase]]
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *pieces])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    inputs = ["input_ids", *(["token_type_ids"] if token_types else []), "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, model_input_names=inputs, **names)


def byte_tokenizer(roberta: bool) -> PreTrainedTokenizerFast:
    """Byte-level BPE without merges, as RoBERTa (with special tokens) or GPT-2 (with an end of text only) use it."""
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if roberta else ["<|endoftext|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*specials, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>" if roberta else None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if not roberta:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, eos_token="<|endoftext|>")
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True)
    names = {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, cls_token="<s>", sep_token="</s>", **names
    )


def piece_tokenizer(class_last: bool = False) -> PreTrainedTokenizerFast:
    """SentencePiece's unigram model, trained on a few lines, with </s> at the end, or <sep> <cls> as XLNet has them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    specials = ["<pad>", "<unk>", "</s>", "<mask>", "<sep>", "<cls>"]
    lines = ["a good film, not bad", "the acting is superb", "it is very good", string.printable]
    trainer = trainers.UnigramTrainer(vocab_size=160, special_tokens=specials, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    end = "<sep> <cls>" if class_last else "</s>"
    between = "<sep>" if class_last else "</s>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A {between} $B {end}", special_tokens=list(zip(specials, range(6), strict=True))
    )
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names)


def probed(classifier: Classifier, texts: Sequence[str] = ()) -> Classifier:
    """Have a model tried out as it is at its first use, of these texts, for tests that count what is run after that."""
    sees_padding(*classifier)
    network = Network.of(classifier[0])
    check_cut(network, classifier[1], range(len(network.blocks) + 1))
    check_embeddings(network, classifier[1])
    sinks_of(network, classifier[1])
    if texts:
        Explainer(*classifier, "random", "instance")(list(texts))
    return classifier


def register_on_output(block: nn.Module, change: Callable[[Tensor], Tensor]) -> RemovableHandle:
    """Have a hook change a block's output: a tensor, or, with some transformers, the first of a tuple."""

    def hook(_: nn.Module, __: object, output: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    return block.register_forward_hook(hook)


LABELS = {"num_labels": 3, "id2label": {0: "negative", 1: "neutral", 2: "positive"}}
ENCODER = {"num_hidden_layers": BLOCKS, "hidden_size": HIDDEN, "num_attention_heads": 2, "intermediate_size": 32}


def bert(vocabulary: int) -> PreTrainedModel:
    return BertForSequenceClassification(
        BertConfig(vocab_size=vocabulary, max_position_embeddings=64, **ENCODER, **LABELS)
    )


def distilbert(vocabulary: int) -> PreTrainedModel:
    sizes = {"n_layers": BLOCKS, "dim": HIDDEN, "n_heads": 2, "hidden_dim": 32}
    return DistilBertForSequenceClassification(
        DistilBertConfig(vocab_size=vocabulary, max_position_embeddings=64, **sizes, **LABELS)
    )


def roberta(vocabulary: int) -> PreTrainedModel:
    config = RobertaConfig(vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1, **ENCODER, **LABELS)
    return RobertaForSequenceClassification(config)


def electra(vocabulary: int) -> PreTrainedModel:
    config = ElectraConfig(vocab_size=vocabulary, embedding_size=8, max_position_embeddings=64, **ENCODER, **LABELS)
    return ElectraForSequenceClassification(config)


def gpt2(vocabulary: int) -> PreTrainedModel:
    sizes = {"n_layer": BLOCKS, "n_embd": HIDDEN, "n_head": 2, "n_positions": 64}
    config = GPT2Config(vocab_size=vocabulary, bos_token_id=0, eos_token_id=0, pad_token_id=0, **sizes, **LABELS)
    return GPT2ForSequenceClassification(config)


FAMILIES: dict[str, tuple[Callable[[int], PreTrainedModel], Callable[[], PreTrainedTokenizerFast]]] = {
    "bert": (bert, wordpiece_tokenizer),
    "distilbert": (distilbert, lambda: wordpiece_tokenizer(token_types=False)),
    "roberta": (roberta, lambda: byte_tokenizer(roberta=True)),
    "electra": (electra, wordpiece_tokenizer),
    "gpt2": (gpt2, lambda: byte_tokenizer(roberta=False)),
}


def draw_weights(model: PreTrainedModel) -> PreTrainedModel:
    """Draw weights larger than usual, so that what a model computes depends visibly on its text."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 1.0 if "embed" in name or "wte" in name else 0.4)
    return model.eval()


def classifier(family: str, seed: int = 0) -> Classifier:
    """Build a classifier of random weights."""
    build, make_tokenizer = FAMILIES[family]
    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    return draw_weights(build(len(tokenizer))), tokenizer
