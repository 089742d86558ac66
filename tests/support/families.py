"""The matrix of model families: what is built, and what is known to work with it.

The tests build every row as a tiny random model; `docs/models.md` is written from the same rows. Parameter counts are
asserted, because a configuration ignores a size that is misspelt, and the model then is full-size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import tiny
from narrows.models.heads.target import Blank, Contrast, Distribution, Tag, Target

ModelKind = Literal["encoder", "decoder", "encoder and decoder"]
TokenizerName = Literal["wordpiece", "bytes", "bytes without specials", "pieces", "pieces, class last"]
VOCABULARY = 300  # of every model; each tokenizer has fewer tokens

ENCODER = {**tiny.ENCODER, "vocab_size": VOCABULARY, "max_position_embeddings": 64}
AFTER_PADDING = {**ENCODER, "pad_token_id": 1, "max_position_embeddings": 66}  # positions count from after the padding
DECODER = {**ENCODER, "num_key_value_heads": 1, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
EXPERTS = {"num_experts_per_tok": 2}
TWO_STACKS = {
    "vocab_size": VOCABULARY,
    "d_model": 16,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
}
T5 = {
    "vocab_size": VOCABULARY,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 3,
    "num_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 0,
}


@dataclass(frozen=True, eq=False)
class Family:
    """One row of the matrix.

    Attributes:
        name: What people call it.
        stem: Of its classes: "Bert" for BertConfig and BertForSequenceClassification.
        kind: What its blocks are.
        sizes: Arguments of its configuration.
        parameters: Of the classifier with three labels.
        tokenizer: Which of the tiny tokenizers reads its texts.
        attention: The implementations that are tested.
        blocks: How many there are to cut between.
        sees_padding: Its predictions change with padding, so texts of one length share a batch.
        half: It runs in bfloat16.
        remark: What a user should know.
    """

    name: str
    stem: str
    kind: ModelKind
    sizes: Mapping[str, Any]
    parameters: int
    tokenizer: TokenizerName = "wordpiece"
    attention: tuple[str, ...] = ("eager", "sdpa")
    blocks: int = 3
    sees_padding: bool = False
    half: bool = True
    remark: str = ""

    @property
    def model_class(self) -> str:
        return f"{self.stem}ForSequenceClassification"


@dataclass(frozen=True, eq=False)
class Refusal:
    """A model that is refused, and the start of the line that says why."""

    name: str
    stem: str
    sizes: Mapping[str, Any]
    says: str
    layers: tuple[int, ...] = field(default=())  # empty: refused at any layer
    reason: str = ""  # for the page, where the line says less

    @property
    def because(self) -> str:
        return self.reason or self.says


FAMILIES = (
    Family("BERT", "Bert", "encoder", ENCODER, 12883),
    Family("RoBERTa", "Roberta", "encoder", AFTER_PADDING, 12915, "bytes"),
    Family("XLM-R", "XLMRoberta", "encoder", AFTER_PADDING, 12915, "bytes"),
    Family("CamemBERT", "Camembert", "encoder", AFTER_PADDING, 12915, "bytes"),
    Family(
        "DistilBERT",
        "DistilBert",
        "encoder",
        {
            "n_layers": 3,
            "dim": 16,
            "n_heads": 2,
            "hidden_dim": 32,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": 64,
        },
        12851,
    ),
    Family(
        "ALBERT",
        "Albert",
        "encoder",
        {**ENCODER, "embedding_size": 8},
        5635,
        remark="one shared block, run once per layer; each run counts as a layer",
    ),
    Family(
        "ALBERT, two groups",
        "Albert",
        "encoder",
        {**ENCODER, "embedding_size": 8, "num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2},
        12307,
        blocks=4,
    ),
    Family("ELECTRA", "Electra", "encoder", {**ENCODER, "embedding_size": 8}, 10083),
    Family("ERNIE", "Ernie", "encoder", ENCODER, 12883),
    Family(
        "DeBERTa",
        "Deberta",
        "encoder",
        {**ENCODER, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
        16435,
        attention=("eager",),
    ),
    Family(
        "DeBERTa v2, v3",
        "DebertaV2",
        "encoder",
        {
            **ENCODER,
            "relative_attention": True,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
        12115,
        attention=("eager",),
        remark="the xlarge models of v2 have a convolution around block 1: layers from 2 on",
    ),
    Family("MPNet", "MPNet", "encoder", AFTER_PADDING, 12947, "bytes", attention=("eager",)),
    Family(
        "MobileBERT",
        "MobileBert",
        "encoder",
        {**ENCODER, "embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
        26339,
        sees_padding=True,
        remark="every token reads the next one, so the last one reads the padding",
    ),
    Family("RemBERT", "RemBert", "encoder", {**ENCODER, "input_embedding_size": 8}, 10083, attention=("eager",)),
    Family("RoFormer", "RoFormer", "encoder", {**ENCODER, "embedding_size": 16}, 12371, attention=("eager",)),
    Family(
        "XLNet",
        "XLNet",
        "encoder",
        {"vocab_size": VOCABULARY, "d_model": 16, "n_layer": 3, "n_head": 2, "d_inner": 32},
        12627,
        "pieces, class last",
        attention=("eager",),
        sees_padding=True,
        remark="the head reads the last position",
    ),
    Family(
        "ModernBERT",
        "ModernBert",
        "encoder",
        {
            **ENCODER,
            "global_attn_every_n_layers": 2,
            "local_attention": 4,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "cls_token_id": 2,
            "sep_token_id": 3,
        },
        12915,
    ),
    Family("EuroBERT", "EuroBert", "encoder", DECODER, 12147, "pieces"),
    Family(
        "Longformer",
        "Longformer",
        "encoder",
        {**AFTER_PADDING, "attention_window": [4, 4, 4]},
        15363,
        "bytes",
        attention=("eager",),
    ),
    Family(
        "BigBird",
        "BigBird",
        "encoder",
        {**ENCODER, "attention_type": "original_full"},
        13155,
        attention=("eager",),
        remark="with full attention",
    ),
    Family(
        "ConvBERT",
        "ConvBert",
        "encoder",
        {**ENCODER, "embedding_size": 8, "conv_kernel_size": 3},
        9900,
        attention=("eager",),
        sees_padding=True,
        remark="its convolutions read the padding",
    ),
    Family(
        "FNet",
        "FNet",
        "encoder",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 16,
            "num_hidden_layers": 3,
            "intermediate_size": 32,
            "max_position_embeddings": 64,
        },
        9923,
        attention=("eager",),
        sees_padding=True,
        half=False,
        remark="it mixes tokens without a mask; its Fourier transform does not take half precision",
    ),
    Family("ESM", "Esm", "encoder", {**AFTER_PADDING, "position_embedding_type": "rotary"}, 11834, "bytes"),
    Family("T5", "T5", "encoder and decoder", T5, 20883, "pieces", blocks=6),
    Family("UMT5", "UMT5", "encoder and decoder", T5, 24211, "pieces", blocks=6),
    Family("BART", "Bart", "encoder and decoder", TWO_STACKS, 20659, "bytes", blocks=5),
    Family("mBART", "MBart", "encoder and decoder", TWO_STACKS, 20723, "bytes", blocks=5),
    Family(
        "GPT-2",
        "GPT2",
        "decoder",
        {"n_layer": 3, "n_embd": 16, "n_head": 2, "n_positions": 64, "vocab_size": VOCABULARY, "pad_token_id": 0},
        15744,
        "bytes without specials",
    ),
    Family("GPT-NeoX, Pythia", "GPTNeoX", "decoder", {**ENCODER, "pad_token_id": 0}, 11552, "bytes without specials"),
    Family(
        "OPT",
        "OPT",
        "decoder",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 16,
            "num_hidden_layers": 3,
            "ffn_dim": 32,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
            "word_embed_proj_dim": 8,
            "pad_token_id": 1,
        },
        10440,
        "bytes",
    ),
    Family(
        "BLOOM",
        "Bloom",
        "decoder",
        {"vocab_size": VOCABULARY, "hidden_size": 16, "n_layer": 3, "n_head": 2, "pad_token_id": 0},
        14752,
        "bytes without specials",
        attention=("eager",),
    ),
    Family(
        "Falcon",
        "Falcon",
        "decoder",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 16,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "pad_token_id": 0,
        },
        13424,
        "bytes without specials",
    ),
    Family("Llama", "Llama", "decoder", DECODER, 11872, "pieces"),
    Family("Mistral", "Mistral", "decoder", {**DECODER, "sliding_window": 4}, 11872, "pieces"),
    Family("Qwen 2", "Qwen2", "decoder", DECODER, 11968, "bytes without specials"),
    Family("Qwen 3", "Qwen3", "decoder", {**DECODER, "head_dim": 8}, 11920, "bytes without specials"),
    Family("Gemma", "Gemma", "decoder", {**DECODER, "head_dim": 8}, 11872, "pieces"),
    Family(
        "Gemma 2",
        "Gemma2",
        "decoder",
        {**DECODER, "head_dim": 8, "sliding_window": 4},
        11968,
        "pieces",
        attention=("eager",),
        remark="alternating local and global attention",
    ),
    Family(
        "Gemma 3",
        "Gemma3Text",
        "decoder",
        {**DECODER, "head_dim": 8, "sliding_window": 4},
        12016,
        "pieces",
        remark="alternating local and global attention; of models with images, the text part",
    ),
    Family("Phi", "Phi", "decoder", DECODER, 10640, "bytes without specials"),
    Family("Phi 3", "Phi3", "decoder", DECODER, 11872, "pieces"),
    Family("StarCoder 2", "Starcoder2", "decoder", DECODER, 10736, "bytes without specials"),
    Family("StableLM", "StableLm", "decoder", DECODER, 11984, "bytes without specials"),
    Family("GLM", "Glm", "decoder", {**DECODER, "head_dim": 8}, 11968, "pieces"),
    Family("Nemotron", "Nemotron", "decoder", DECODER, 10448, "pieces"),
    Family("SmolLM 3", "SmolLM3", "decoder", DECODER, 11872, "bytes without specials"),
    Family(
        "Mixtral",
        "Mixtral",
        "decoder",
        {**DECODER, **EXPERTS, "num_local_experts": 3},
        21232,
        "pieces",
        remark="mixture of experts",
    ),
    Family(
        "Qwen 3 MoE",
        "Qwen3Moe",
        "decoder",
        {**DECODER, **EXPERTS, "head_dim": 8, "moe_intermediate_size": 16, "num_experts": 3},
        14368,
        "bytes without specials",
        remark="mixture of experts",
    ),
    Family(
        "gpt-oss",
        "GptOss",
        "decoder",
        {
            **DECODER,
            **EXPERTS,
            "head_dim": 8,
            "num_local_experts": 3,
            "sliding_window": 4,
            "intermediate_size": 16,
        },
        14911,
        "bytes without specials",
        attention=("eager",),
        remark="mixture of experts, alternating attention",
    ),
    Family(
        "Jamba",
        "Jamba",
        "decoder",
        {
            **DECODER,
            "num_hidden_layers": 4,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "use_mamba_kernels": False,
            "mamba_d_state": 4,
            "mamba_dt_rank": 4,
        },
        20632,
        "pieces",
        blocks=4,
        remark="state spaces between attention",
    ),
)

REFUSALS = (
    Refusal(
        "Funnel",
        "Funnel",
        {"vocab_size": VOCABULARY, "block_sizes": [1, 1, 1], "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32},
        "it shortens the text between its blocks",
        reason="it shortens the text between its blocks, so that a position belongs to several tokens",
    ),
    Refusal("CANINE", "Canine", ENCODER, "it merges characters between its blocks"),
    Refusal(
        "XLM",
        "XLM",
        {"vocab_size": VOCABULARY, "emb_dim": 16, "n_layers": 3, "n_heads": 2, "max_position_embeddings": 64},
        "its blocks are not modules",
    ),
    Refusal(
        "FlauBERT",
        "Flaubert",
        {"vocab_size": VOCABULARY, "emb_dim": 16, "n_layers": 3, "n_heads": 2, "max_position_embeddings": 64},
        "its blocks are not modules",
    ),
    Refusal(
        "BigBird, sparse attention",
        "BigBird",
        {**ENCODER, "block_size": 4, "attention_type": "block_sparse"},
        "its sparse attention depends on the length of the text",
        reason="its sparse attention depends on the length of the text; `attention_type='original_full'` works",
    ),
    Refusal(
        "SqueezeBERT",
        "SqueezeBert",
        {**ENCODER, "embedding_size": 16},
        "block 1 .* does not run",
        reason="its blocks run in a way that no hook sees",
    ),
    Refusal(
        "DeBERTa v2 xlarge, layers 0 and 1",
        "DebertaV2",
        {
            **ENCODER,
            "relative_attention": True,
            "position_buckets": 8,
            "pos_att_type": ["p2c", "c2p"],
            "conv_kernel_size": 3,
            "conv_act": "gelu",
        },
        "reaches its head around that layer",
        reason="a convolution takes the embeddings around block 1; layers from 2 on work",
        layers=(0, 1),
    ),
)


@dataclass(frozen=True, eq=False)
class TaskRow:
    """A task, on one family's model, and what is asked of it.

    Attributes:
        name: What the task is called.
        stem: The family.
        head: End of the model's class.
        asked: Texts and targets.
        target: How a target is written, for the page.
        sizes: Arguments of the configuration beside the family's own.
        tied: Its input and output embeddings are one.
    """

    name: str
    stem: str
    head: str
    asked: tuple[tuple[Any, Target], ...]
    target: str
    sizes: Mapping[str, Any] = field(default_factory=dict)
    tied: bool = False


CLASS = (("a good film, not bad", None), ("bad", "neutral"), ("a film", Contrast(0, 2)), ("it is", Distribution()))
WORD = (("a good film, not bad", Tag("film")), ("bad", Tag(0, "neutral")), ("a film", Tag("a", Contrast(0, 2))))
PAIRS = ((("a good film", "bad"), None), (("it is", "a very good film"), "negative"))
QUESTION = (({"question": "is it bad", "context": "a good film, not bad"}, None), (("is it", "bad film"), "film"))
NEXT = (("a good film", None), ("it is", " bad"), ("a film", Contrast(20, 30)))
TWO_ENDS = {"num_labels": 2, "id2label": {0: "start", 1: "end"}}
ONE_OF, WORDS, ANSWERS = (
    "a label, None, Contrast, Distribution",
    "Tag(word, label)",
    "None, the answer, Answer(start, end)",
)
FILLINGS, NEXTS = "None, a word, Blank(index, word)", "None, a continuation, Contrast"

TASKS = (
    TaskRow("one class out of several", "Bert", "ForSequenceClassification", CLASS, ONE_OF),
    TaskRow("one class out of several", "T5", "ForSequenceClassification", CLASS, ONE_OF),
    TaskRow("one class out of several", "XLNet", "ForSequenceClassification", CLASS, ONE_OF),
    TaskRow("one class out of several", "Llama", "ForSequenceClassification", CLASS, ONE_OF),
    TaskRow("pairs", "Bert", "ForSequenceClassification", PAIRS, ONE_OF),
    TaskRow("pairs", "XLNet", "ForSequenceClassification", PAIRS, ONE_OF),
    TaskRow("pairs", "Roberta", "ForSequenceClassification", PAIRS, ONE_OF),
    TaskRow("pairs", "Bart", "ForSequenceClassification", PAIRS, ONE_OF),
    TaskRow(
        "several labels at once",
        "Bert",
        "ForSequenceClassification",
        CLASS,
        ONE_OF,
        {"problem_type": "multi_label_classification"},
    ),
    TaskRow(
        "a number",
        "Roberta",
        "ForSequenceClassification",
        (("a good film", None), ("bad", None)),
        "None",
        {"num_labels": 1, "id2label": {0: "score"}},
    ),
    TaskRow("token classification", "Bert", "ForTokenClassification", WORD, WORDS),
    TaskRow("token classification", "DebertaV2", "ForTokenClassification", WORD, WORDS),
    TaskRow("token classification", "T5", "ForTokenClassification", WORD, WORDS),
    TaskRow("token classification", "XLNet", "ForTokenClassification", WORD, WORDS),
    TaskRow("question answering", "Bert", "ForQuestionAnswering", QUESTION, ANSWERS, TWO_ENDS),
    TaskRow("question answering", "Bart", "ForQuestionAnswering", QUESTION, ANSWERS, TWO_ENDS),
    TaskRow(
        "question answering", "Longformer", "ForQuestionAnswering", QUESTION, ANSWERS, {**TWO_ENDS, "sep_token_id": 2}
    ),
    TaskRow(
        "masked language model",
        "Bert",
        "ForMaskedLM",
        (("a [MASK] film", None), ("[MASK] good film [MASK]", Blank(1, "bad"))),
        FILLINGS,
        tied=True,
    ),
    TaskRow(
        "masked language model",
        "ModernBert",
        "ForMaskedLM",
        (("a [MASK] film", "good"), ("it is not [MASK]", Contrast("good", "bad"))),
        FILLINGS,
        tied=True,
    ),
    TaskRow(
        "masked language model",
        "Roberta",
        "ForMaskedLM",
        (("a<mask> film", None), ("<mask>", None)),
        FILLINGS,
        tied=True,
    ),
    TaskRow("causal language model", "GPT2", "LMHeadModel", NEXT, NEXTS, tied=True),
    TaskRow("causal language model", "Llama", "ForCausalLM", NEXT, NEXTS),
    TaskRow("causal language model", "Qwen3", "ForCausalLM", NEXT, NEXTS),
    TaskRow("causal language model", "Gemma2", "ForCausalLM", NEXT, NEXTS, tied=True),
    TaskRow("causal language model", "Mixtral", "ForCausalLM", NEXT, NEXTS),
    TaskRow("causal language model", "OPT", "ForCausalLM", NEXT, NEXTS, tied=True),
)


def tokenizer(name: TokenizerName) -> PreTrainedTokenizerFast:
    match name:
        case "wordpiece":
            return tiny.wordpiece_tokenizer()
        case "bytes":
            return tiny.byte_tokenizer(roberta=True)
        case "bytes without specials":
            return tiny.byte_tokenizer(roberta=False)
        case "pieces":
            return tiny.piece_tokenizer(class_last=False)
        case "pieces, class last":
            return tiny.piece_tokenizer(class_last=True)


def build(row: Family | Refusal, head: str = "ForSequenceClassification", **changes: Any) -> PreTrainedModel:
    """A tiny model of a row, its weights drawn so that its output depends visibly on its text."""
    config = getattr(transformers, f"{row.stem}Config")(**{**tiny.LABELS, **row.sizes, **changes})
    torch.manual_seed(0)
    model: PreTrainedModel = getattr(transformers, f"{row.stem}{head}")(config)
    return tiny.draw_weights(model)


def classifier(row: Family) -> tiny.Classifier:
    return build(row), tokenizer(row.tokenizer)


def of_task(stem: str, head: str, **sizes: Any) -> tiny.Classifier:
    """A model of a family with another head, and the family's tokenizer."""
    row = next(row for row in FAMILIES if row.stem == stem)
    return build(row, head, **sizes), tokenizer(row.tokenizer)
