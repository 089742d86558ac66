"""Which task a model's head is for, told by the name of its class."""

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
NOT_CAUSAL = ("xlnet", "xlm", "flaubert")  # their language models predict by permutation, or with a language of each


def find_task(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Task:
    """Tell what a model's head is for.

    Args:
        model: The model; one whose class has a name of the user's own is taken for a classifier.
        tokenizer: Its tokenizer.

    Returns:
        The task.

    Raises:
        ModelError: If no target of such a head is known.
    """
    name = type(model).__name__
    if name.endswith("ForTokenClassification"):
        return Tagging(model)
    if name.endswith("ForQuestionAnswering"):
        return Answering(model)
    if name.endswith("ForMaskedLM"):
        return Filling(model, tokenizer)
    if name.endswith(CAUSAL) and text_config(model).model_type not in NOT_CAUSAL:
        return Continuing(model, tokenizer)
    if name.endswith((*CAUSAL, "ForConditionalGeneration", "WithLMHeadModel", "ForMultipleChoice", "ForPreTraining")):
        raise ModelError(
            f"what {name} says cannot be a target: classifiers, taggers, masked and causal language models and models "
            "that answer questions can be explained"
        )
    return Classifying(model)
