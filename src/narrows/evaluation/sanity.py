"""Does a map depend on the model, and on little else?

A map that stays the same when the weights are drawn anew explains the text, not the model (Adebayo et al. 2018, "Sanity
Checks for Saliency Maps"). A map that changes with the seed alone says little about either.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from transformers import PreTrainedModel

from narrows.errors import InputError, ModelError
from narrows.evaluation.degradation import Array
from narrows.evaluation.statistics import kendall_tau, mean_defined
from narrows.methods.method import Batch, Method, Scores, content_positions
from narrows.models.cut.network import Network
from narrows.models.cut.split import borrowed, forward_logits
from narrows.models.hub.loading import Classifier
from narrows.models.text.encoding import collate, padding_id


@dataclass(frozen=True)
class Stage:
    """The maps of a model of which a part was drawn anew, beside those of the model itself.

    Attributes:
        name: What was drawn anew at this stage, besides all of the stages before: ``head``, ``block 6``, ..., ``block
            1``, ``embeddings``.
        mean: Mean of the taus that are defined; NaN if none is.
        taus: Kendall's tau between both maps over the content tokens, (texts,); NaN where a map has no order.
    """

    name: str
    mean: float
    taus: Array


def cascade(method: Method, classifier: Classifier, batch: Batch, targets: Sequence[int], seed: int = 0) -> list[Stage]:
    """Draw the weights anew from the top of the model to its bottom, and see whether the maps change.

    Weights are drawn as transformers draws those of an untrained model, on a copy. The prior that ships with a model
    belongs to its weights, so the method is given the classifier without it, before and after: `narrows` then takes the
    mean and deviation of each text.

    Args:
        method: The method.
        classifier: The model; left as it was.
        batch: The texts.
        targets: Index of the class that is explained in each, the same at every stage.
        seed: Of the weights.

    Returns:
        The stages, from the head to the embeddings. A method that passes has taus near 0 at the end.

    Raises:
        ModelError: If an untrained model of the same kind cannot be made.
    """
    drawn = replace(classifier, model=copy.deepcopy(classifier.model), prior=None)
    original = method(replace(classifier, prior=None), batch, targets)
    fresh = _untrained(classifier.model, seed)
    stages = []
    for name, parameters in _parts(drawn, batch).items():
        with torch.no_grad():
            for parameter in parameters:
                drawn.model.get_parameter(parameter).copy_(fresh[parameter])
        taus = _taus(original, method(drawn, batch, targets), batch)
        stages.append(Stage(name, mean_defined(taus), taus))
    return stages


def seed_stability(
    make_method: Callable[[int], Method],
    classifier: Classifier,
    batch: Batch,
    targets: Sequence[int],
    seeds: Sequence[int],
) -> Array:
    """Compare the maps that a method makes with different seeds.

    Args:
        make_method: Makes the method with a seed.
        classifier: The model.
        batch: The texts.
        targets: Index of the class that is explained in each.
        seeds: At least two.

    Returns:
        Mean of Kendall's tau over all pairs of seeds, (texts,): 1 = the seed does not matter; NaN where no pair of maps
        has an order.

    Raises:
        InputError: If there are fewer than two seeds.
    """
    if len(seeds) < 2:
        raise InputError(f"stability needs at least two seeds, not {len(seeds)}")
    maps = [make_method(seed)(classifier, batch, targets) for seed in seeds]
    taus = np.stack([_taus(one, other, batch) for one, other in combinations(maps, 2)])  # (pairs, texts)
    return np.array([mean_defined(own) for own in taus.T])


def _taus(maps: Sequence[Scores], others: Sequence[Scores], batch: Batch) -> Array:
    """Compare two maps of each text over its content tokens."""
    content = [content_positions(encoding) for encoding in batch.encodings]
    return np.array([kendall_tau(one[own], other[own]) for one, other, own in zip(maps, others, content, strict=True)])


def _untrained(model: PreTrainedModel, seed: int) -> dict[str, torch.nn.Parameter]:
    """Make an untrained model of the same kind and give its parameters by name; the global generator stays as it is."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        try:
            fresh = dict(type(model)(copy.deepcopy(model.config)).named_parameters())
        except (TypeError, AttributeError) as error:
            raise ModelError(f"cannot make an untrained {type(model).__name__}: {error}") from error
    for name, parameter in model.named_parameters():
        if name not in fresh or fresh[name].shape != parameter.shape:
            raise ModelError(f"cannot draw {type(model).__name__} anew: an untrained one has no such {name}")
    return fresh


def _parts(classifier: Classifier, batch: Batch) -> dict[str, list[str]]:
    """Divide the parameters of a model by name: its head, its blocks from the top, and what comes before them."""
    network = Network.of(classifier.model)
    block_of = {id(own): number for number, block in enumerate(network.blocks, 1) for own in block.parameters()}
    head = _run_after_first_block(classifier, network, batch)
    parts: dict[str, list[str]] = {"head": []}
    parts |= {f"block {number}": [] for number in range(len(network.blocks), 0, -1)}
    parts["embeddings"] = []
    for name, parameter in classifier.model.named_parameters():
        if id(parameter) in block_of:
            parts[f"block {block_of[id(parameter)]}"].append(name)
        else:
            parts["head" if name.rpartition(".")[0] in head else "embeddings"].append(name)
    return parts


def _run_after_first_block(classifier: Classifier, network: Network, batch: Batch) -> set[str]:
    """Name the modules that are not run before the first block: the head is among them, whatever its name."""
    order: list[str] = []

    def note(name: str) -> Callable[[torch.nn.Module, object], None]:
        return lambda _, __: order.append(name)

    padding = padding_id(classifier.model, classifier.tokenizer)
    inputs = collate(batch.encodings[:1], padding, classifier.model.device)
    names = {module: name for name, module in classifier.model.named_modules()}
    with ExitStack() as hooks, borrowed(classifier.model, padding), torch.no_grad():
        for module, name in names.items():
            hooks.callback(module.register_forward_pre_hook(note(name)).remove)
        forward_logits(network.model, inputs)
    first = order.index(names[network.blocks[0]])
    return set(order[first:]) - set(order[:first])
