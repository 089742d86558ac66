"""Which task a model's head is for, by the name of its class."""

from __future__ import annotations

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.errors import ModelError
from narrows.models.cut.blocks import text_config
from narrows.models.heads.answering import Answering
from narrows.models.heads.classifying import Classifying
from narrows.models.heads.language import Continuing, Filling
from narrows.models.heads.tagging import Tagging
from narrows.models.heads.task import Task

CAUSAL = ("ForCausalLM", "LMHeadModel", "DoubleHeadsModel")
NOT_CAUSAL = ("xlnet", "xlm", "flaubert")  # they predict by permutation, or need language ids


def find_task(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Task:
    """Return the task of a model; a class with a name of the user's own counts as a classifier."""
    name = type(model).__name__
    if name.endswith("ForTokenClassification"):
        return Tagging(model)
    if name.endswith("ForQuestionAnswering"):
        return Answering()
    if name.endswith("ForMaskedLM"):
        return Filling(model, tokenizer)
    if name.endswith(CAUSAL) and text_config(model).model_type not in NOT_CAUSAL:
        return Continuing(model, tokenizer)
    if name.endswith((*CAUSAL, "ForConditionalGeneration", "WithLMHeadModel", "ForMultipleChoice", "ForPreTraining")):
        raise ModelError(
            f"the output of {name} cannot be explained; classifiers, taggers, masked and causal language models and "
            "models that answer questions can"
        )
    return Classifying(model)
