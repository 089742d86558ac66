"""Make a tiny classifier with random weights in ./model, and texts with labels for it: a model of the user's own."""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ADJECTIVES = ["good", "bad", "dull", "superb", "witty", "warm"]
words = [*MARKS, "the", "a", "film", "plot", "is", "very", "not", "so", ".", *ADJECTIVES]
tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
)
names = {f"{mark[1:-1].lower()}_token": mark for mark in MARKS}
PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names).save_pretrained("model")

config = BertConfig(
    vocab_size=len(words),
    hidden_size=16,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=32,
    id2label={0: "negative", 1: "positive"},
)
BertForSequenceClassification(config).save_pretrained("model")

rows = [
    f"the {noun} is {adverb}{adjective}.,{'positive' if (i in (1, 2)) == (adverb == 'not ') else 'negative'}"
    for noun in ("film", "plot")
    for adverb in ("", "very ", "not ", "so ")
    for i, adjective in enumerate(ADJECTIVES)
]
Path("texts.csv").write_text("\n".join(["text,label", *rows]) + "\n")
