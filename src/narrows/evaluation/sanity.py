"""Does a map depend on the weights (Adebayo et al. 2018, "Sanity Checks for Saliency Maps"), but not on the seed?"""

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.attributions import Result
from narrows.data.example import Example, Item
from narrows.errors import InputError, ModelError, strict
from narrows.evaluation.degradation import Array
from narrows.evaluation.statistics import kendall_tau, mean_defined
from narrows.explainer import Explainer
from narrows.methods import registry, settings
from narrows.methods.method import Method
from narrows.models.cut.network import Network
from narrows.models.cut.split import forward_logits
from narrows.models.cut.view import borrowed
from narrows.models.heads.target import Target
from narrows.models.text.encoding import collate, encode, padding_id


@dataclass(frozen=True)
class Stage:
    """The maps of a model of which a part was drawn again, compared with those of the model itself."""

    name: str  # what was drawn in addition to all before: ``head``, ``block 6``, ..., ``block 1``, ``embeddings``
    mean: float  # of the taus that are not NaN
    taus: Array  # Kendall's tau between both maps over the content tokens, (texts,); NaN where a map has no order


def cascade(
    method: str | Method,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Item],
    targets: Sequence[Target],
    seed: int = 0,
) -> list[Stage]:
    """Draw a copy's weights again from head to embeddings, and compare the maps: taus near 0 at the end pass."""
    drawn = copy.deepcopy(model)
    fresh = _untrained(model, seed)
    original = Explainer(model, tokenizer, method, "instance")(list(texts), targets)
    explainer = Explainer(drawn, tokenizer, method, "instance")
    stages = []
    for name, parameters in _parts(drawn, tokenizer, Example.of(texts[0])).items():
        with torch.no_grad():
            for parameter in parameters:
                drawn.get_parameter(parameter).copy_(fresh[parameter])
        taus = _taus(original, explainer(list(texts), targets))
        stages.append(Stage(name, mean_defined(taus), taus))
    return stages


def seed_stability(
    method: str | Method, explainer: Explainer, texts: Sequence[Item], targets: Sequence[Target], seeds: Sequence[int]
) -> Array:
    """Average Kendall's tau over all pairs of two or more seeds, (texts,): 1 = no matter; NaN = no map has an order."""
    own = registry.find_method(method)
    if len(seeds) < 2:
        raise InputError(f"stability needs at least two seeds, not {len(seeds)}")
    if "seed" not in settings.settings_of(type(own)):
        raise InputError(f"the method {registry.spec(own)} has no seed")
    model, tokenizer, prior = explainer.model, explainer.tokenizer, explainer.prior
    seeded = [registry.changed(own, {"seed": seed}) for seed in seeds]
    maps = [Explainer(model, tokenizer, each, prior)(list(texts), targets) for each in seeded]
    taus = np.stack([_taus(one, other) for one, other in combinations(maps, 2)])  # (pairs, texts)
    return np.array([mean_defined(pairs) for pairs in taus.T])


def _taus(maps: Sequence[Result], others: Sequence[Result]) -> Array:
    """Compare two maps of each text over its content tokens, (texts,)."""
    pairs = ((one, other, sorted(one.ranking)) for one, other in zip(strict(maps), strict(others), strict=True))
    return np.array([kendall_tau(one.scores[own], other.scores[own]) for one, other, own in pairs])


def _untrained(model: PreTrainedModel, seed: int) -> dict[str, torch.nn.Parameter]:
    """Make the parameters of an untrained model of the same kind, by name; torch's own generator is left unchanged."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        try:
            fresh = dict(type(model)(copy.deepcopy(model.config)).named_parameters())
        except (TypeError, AttributeError) as error:
            raise ModelError(f"cannot make an untrained {type(model).__name__}: {error}") from error
    for name, parameter in model.named_parameters():
        if name not in fresh or fresh[name].shape != parameter.shape:
            raise ModelError(f"cannot draw {type(model).__name__} again: an untrained one has no such {name}")
    return fresh


def _parts(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: Example) -> dict[str, list[str]]:
    """Divide the parameters of a model by name: its head, its blocks from the top, and what comes before them."""
    padding = padding_id(model, tokenizer)
    model = borrowed(model)
    network = Network.of(model)
    names = {module: name for name, module in model.named_modules()}
    order: list[str] = []  # in which the modules run; those of the head do not run before the first block
    with ExitStack() as hooks, torch.no_grad():
        for module, name in names.items():
            hooks.enter_context(module.register_forward_pre_hook(lambda *_, name=name: order.append(name)))
        forward_logits(model, collate([encode(tokenizer, text, None)], padding, model.device))
    before = order[: order.index(names[network.blocks[0]])]
    head = set(order).difference(before)
    block_of = {id(own): number for number, block in enumerate(network.blocks, 1) for own in block.parameters()}
    blocks = [f"block {number}" for number in range(len(network.blocks), 0, -1)]
    parts: dict[str, list[str]] = {part: [] for part in ("head", *blocks, "embeddings")}
    for name, parameter in model.named_parameters():
        if id(parameter) in block_of:
            parts[f"block {block_of[id(parameter)]}"].append(name)
        else:
            parts["head" if name.rpartition(".")[0] in head else "embeddings"].append(name)
    return parts
