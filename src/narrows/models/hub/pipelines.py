"""Taking the model out of a pipeline of transformers."""

from typing import Any

from narrows.errors import ModelError

EXPLAINED = ("text-classification", "token-classification", "question-answering", "fill-mask", "text-generation")
INSTEAD = {"zero-shot-classification": "explain its model on the pair of text and hypothesis, target='entailment'"}


def unpack_pipeline(pipe: Any) -> tuple[Any, Any]:
    """Return model and tokenizer of a pipeline; raise a ModelError if its predictions cannot be explained."""
    task = getattr(pipe, "task", None)
    if task not in EXPLAINED:
        instead = INSTEAD.get(str(task), f"those for {', '.join(EXPLAINED)} can")
        raise ModelError(f"a pipeline for {task!r} cannot be explained: {instead}")
    if pipe.tokenizer is None:
        raise ModelError("the pipeline has no tokenizer")
    return pipe.model, pipe.tokenizer
