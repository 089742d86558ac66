"""The gradient methods as one would call captum by hand, on the model itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from narrows.data.example import Example
from narrows.models.text.encoding import Encoding, collate, encode, padding_id
from tiny import Classifier

EXAMPLES = (
    Example("good film"),
    Example("the film is not very good, it is bad acting"),
    Example("a"),
    Example("not bad", "superb film"),
    Example("a not very super act"),
)
TARGETS = (0, 1, 2, 1, 0)


def widened(classifier: Classifier) -> Classifier:
    """In float64, so that equal means equal."""
    return classifier[0].to(torch.float64), classifier[1]


def encoded(classifier: Classifier, example: Example) -> Encoding:
    return encode(classifier[1], example, None)


def inputs_of(classifier: Classifier, encoding: Encoding) -> dict[str, Tensor]:
    model, tokenizer = classifier
    return collate([encoding], padding_id(model, tokenizer), model.device)


def without_content(ids: Tensor, encoding: Encoding, token: int) -> Tensor:
    """All tokens of the text replaced, the special ones kept."""
    blank = ids.clone()
    for position, segment in enumerate(encoding.segments):
        if segment is not None:
            blank[0, position] = token
    return blank


def padded_ids(classifier: Classifier, encoding: Encoding) -> Tensor:
    ids = inputs_of(classifier, encoding)["input_ids"]
    return without_content(ids, encoding, padding_id(*classifier))


def log_p_of(classifier: Classifier, inputs: Mapping[str, Tensor], target: int) -> Callable[[Tensor], Tensor]:
    """A function from ids to log p(target), as one would write it for captum; GPT-2 must be told what padding is."""
    model = classifier[0]
    rest = {name: value for name, value in inputs.items() if name != "input_ids"}

    def log_p(ids: Tensor) -> Tensor:
        repeated = {name: value.expand(len(ids), -1) for name, value in rest.items()}
        return log_softmax(model(input_ids=ids, **repeated).logits, dim=-1)[:, target]

    if model.config.pad_token_id is None:
        model.config.pad_token_id = padding_id(*classifier)
    return log_p


def embedding_of(classifier: Classifier) -> nn.Module:
    return classifier[0].get_input_embeddings()


def gradient_at_embedding(classifier: Classifier, inputs: Mapping[str, Tensor], target: int) -> tuple[Tensor, Tensor]:
    """The embeddings of one text, (tokens, features), and the gradient of log p(target) there, by torch alone."""
    captured: list[Tensor] = []
    handle = embedding_of(classifier).register_forward_hook(lambda _, __, output: captured.append(output))
    value = log_p_of(classifier, inputs, target)(inputs["input_ids"]).sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(value, captured)
    return captured[0][0].detach(), gradient[0]
