"""What a pipeline of transformers does to a text, taken over; whatever Narrows does not do is refused by its name."""

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import ModelError, shown
from narrows.models.heads.targets import count_labels, kind_of_outputs
from narrows.models.text.encoding import token_limit
from narrows.models.text.long_text import LongTexts

EXPLAINED = ("text-classification", "token-classification", "fill-mask", "text-generation")
MODEL = "explain its model, with Explainer(pipe.model, pipe.tokenizer),"
WAYS = {
    "zero-shot-classification": f"{MODEL} on the pair of the text and {{hypothesis!r}}, target='entailment'",
    "question-answering": f"{MODEL} on {{{{'question': ..., 'context': ...}}}}",
}
OWN_CODE = ("__call__", "preprocess", "_forward", "forward", "postprocess")
NESTED = ("tokenizer_kwargs", "tokenizer_params", "tokenizer_encode_kwargs")  # parameters that hold parameters

# The values of a parameter that change nothing of what is explained, or that are taken over; None = all of them.
_TOKENIZER: dict[str, Collection[Any] | None] = {
    "truncation": (None, True, False, "longest_first", "do_not_truncate"),
    "max_length": None,
    "padding": (None, True, False, "longest", "do_not_pad", "max_length"),
    "padding_side": (None, "right"),
    "pad_to_multiple_of": None,
    "add_special_tokens": (None, True),
    "return_attention_mask": (None, True),
    "return_tensors": None,
    "return_all_scores": None,
    "verbose": None,
}
# Parameters of generation that change probabilities; all others only choose by them. None, 0 and 1 do nothing.
_CHANGING = (
    "repetition_penalty encoder_repetition_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size diversity_penalty "
    "bad_words_ids force_words_ids constraints sequence_bias suppress_tokens begin_suppress_tokens min_length "
    "min_new_tokens forced_bos_token_id forced_eos_token_id exponential_decay_length_penalty guidance_scale "
    "penalty_alpha dola_layers watermarking_config"
)
_SHOWING = (
    "return_type tools documents clean_up_tokenization_spaces skip_special_tokens continue_final_message tokenizer "
    "assistant_model assistant_tokenizer prefix_length"
)
_OWN: dict[str, dict[str, Collection[Any] | None]] = {
    "text-classification": {"top_k": None, "_legacy": None},
    "token-classification": {
        "is_split_into_words": (None, False),
        "stride": None,
        "return_overflowing_tokens": None,
        "ignore_labels": None,
        "aggregation_strategy": (None, "none", "simple", "first"),
    },
    "fill-mask": {"top_k": None},
    "text-generation": {"prefix": (None, ""), **dict.fromkeys(_CHANGING.split(), (None, 0, 1))},
}
_ADVICE = {
    "aggregation_strategy": "the tag of a word is that of its first token here: choose 'first', 'simple' or 'none'",
    "target_ids": "make it without targets, and ask for one of these words as the target of the explanation",
    "prefix": "make it with prefix='', and write the prefix in front of each text",
}


def unpack_pipeline(pipe: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, int | None, LongTexts]:
    """Take apart: model, tokenizer, most tokens, what becomes of longer texts; or a `ModelError` that says why not."""
    task, reading = getattr(pipe, "task", type(pipe).__name__), _parameters(pipe, "preprocess_params")
    if task not in EXPLAINED:
        hypothesis = reading.get("hypothesis_template", "This example is {}.")
        instead = WAYS.get(str(task), f"those for {', '.join(EXPLAINED)} can")
        raise ModelError(f"a pipeline for {task!r} cannot be explained: {instead.format(hypothesis=hypothesis)}")
    if pipe.tokenizer is None:
        raise ModelError("the pipeline has no tokenizer")
    for name in OWN_CODE:
        if not _is_stock(getattr(pipe, name, None)):
            own = f"the pipeline's own {name}() ({type(pipe).__name__}) cannot be explained"
            raise ModelError(f"{own}: {MODEL} and do to the texts what it does")
    _check_parameters(pipe, task)
    return pipe.model, pipe.tokenizer, *_cut(pipe, task, reading)


def _check_parameters(pipe: Any, task: str) -> None:
    """Refuse a parameter by which the pipeline would say something else than what is explained."""
    given = _parameters(pipe, "preprocess_params", "forward_params", "postprocess_params")
    known = _TOKENIZER | _OWN[task]
    if task == "text-generation":
        given |= _generation(pipe)
        harmless = [*_SHOWING.split(), *vars(pipe.model.generation_config)]
        known |= {name: None for name in harmless if name not in known}
    if task == "text-classification":
        known["function_to_apply"] = (_function(pipe.model),)
        given.setdefault("function_to_apply", _usual_function(pipe.model))
    if pipe.tokenizer.padding_side != "right":  # positions would be counted from the padding
        known |= {"padding": (None, True, False, "longest", "do_not_pad"), "pad_to_multiple_of": (None,)}
    for name, value in given.items():
        allowed = known.get(name, (None,))
        if allowed is not None and not any(value is each or (value == each) is True for each in allowed):
            reason = f"which cannot be explained: {_advice(name, pipe)}"
            raise ModelError(f"the pipeline has {name}={shown(value)}, {reason}")


def _parameters(pipe: Any, *stages: str) -> dict[str, Any]:
    """Collect the parameters of some stages of a pipeline."""
    found: dict[str, Any] = {}
    for stage in stages:
        found |= getattr(pipe, f"_{stage}", {})
    for name in NESTED:
        found |= found.pop(name, None) or {}
    return {name: getattr(value, "value", value) for name, value in found.items()}  # of an enumeration


def _generation(pipe: Any) -> dict[str, Any]:
    """Collect the parameters of generation that are not the model's own."""
    given = _parameters(pipe, "generate_kwargs", "forward_params")
    config = given.get("generation_config", getattr(pipe, "generation_config", None))
    if config is None:
        return given
    own, here = pipe.model.generation_config.to_diff_dict(), config.to_diff_dict()
    return given | {"generation_config": None} | {name: here[name] for name in here if here[name] != own.get(name)}


def _is_stock(function: Any) -> bool:
    """Tell whether a method is one of transformers, or missing."""
    return function is None or str(getattr(inspect.unwrap(function), "__module__", "")).startswith("transformers.")


def _function(model: PreTrainedModel) -> str:
    """Name what Narrows makes of a classifier's logits, as pipelines call it."""
    return {"numbers": "none", "labels": "sigmoid", "classes": "softmax"}[kind_of_outputs(model)]


def _usual_function(model: PreTrainedModel) -> str:
    """Name what a pipeline makes of a classifier's logits by itself: a single one is no number for it."""
    return "sigmoid" if model.config.problem_type is None and count_labels(model) == 1 else _function(model)


def _advice(name: str, pipe: Any) -> str:
    if name == "function_to_apply":
        own = _function(pipe.model)
        changed = "" if own == "sigmoid" else ", or set model.config.problem_type to 'multi_label_classification'"
        return f"make it with function_to_apply={own!r}{changed}"
    return _ADVICE.get(name, "make it without that")


def _cut(pipe: Any, task: str, given: Mapping[str, Any]) -> tuple[int | None, LongTexts]:
    """Tell to how many tokens a pipeline cuts a text; where it does not, a text that is too long is refused."""
    truncation, longest = given.get("truncation"), given.get("max_length")
    if longest is not None and truncation is None and not given.get("padding"):
        truncation = True  # as tokenizers of transformers have it
    if task == "token-classification":
        truncation = "stride" not in given  # with it, such a pipeline reads a text in parts
    if truncation in (None, False, "do_not_truncate"):
        return None, "error"
    limit = pipe.tokenizer.model_max_length if longest is None else longest
    own = token_limit(pipe.model, pipe.tokenizer)
    return (limit, "truncate") if own is None or limit <= own else (None, "error")
