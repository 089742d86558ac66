"""What a model's head is for, told by the name of its class: the tasks have the names of transformers' pipelines."""

from typing import Literal

TaskName = Literal["text-classification", "token-classification", "question-answering", "fill-mask", "text-generation"]

# How the names of classes with such a head end; AutoModel with the first ending is what loads one.
HEADS: dict[TaskName, tuple[str, ...]] = {
    "text-classification": ("ForSequenceClassification",),
    "token-classification": ("ForTokenClassification",),
    "question-answering": ("ForQuestionAnswering",),
    "fill-mask": ("ForMaskedLM",),
    "text-generation": ("ForCausalLM", "LMHeadModel", "DoubleHeadsModel"),
}
NOT_CAUSAL = ("xlnet", "xlm", "flaubert")  # they predict by permutation, or need language ids
OTHER_HEADS = ("LMHeadModel", "ForConditionalGeneration", "ForMultipleChoice", "ForPreTraining")
EXPLAINED = "classifiers, taggers, masked and causal language models and models that answer questions can"


def find_head(called: str, model_type: str) -> TaskName | None:
    """Name the task of a class; None if its name does not tell one, or one that cannot be explained."""
    found = next((task for task, endings in HEADS.items() if called.endswith(endings)), None)
    return None if found == "text-generation" and model_type in NOT_CAUSAL else found


def cannot_explain(called: str, model_type: str) -> str | None:
    """Say that the output of a class cannot be explained, and what can; None if it can, or its name does not tell."""
    if find_head(called, model_type) is not None or not called.endswith((*HEADS["text-generation"], *OTHER_HEADS)):
        return None
    return f"the output of {called} cannot be explained; {EXPLAINED}"
