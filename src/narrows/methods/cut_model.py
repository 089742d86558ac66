"""A model that is explained, and where it can be cut."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.bottleneck.prior import PRIORS, AnyPrior, Prior, find_prior
from narrows.bottleneck.sinks import Sinks
from narrows.errors import LayerError, warn
from narrows.models.corpus import sinks_of
from narrows.models.cut.blocks import check_layer, identify
from narrows.models.cut.leak import check_cut
from narrows.models.cut.network import Network
from narrows.models.cut.view import borrowed
from narrows.models.heads.task import Task
from narrows.models.text.encoding import padding_id

DEPTH = 0.75  # of the blocks: after layer 9 of 12; rounded up elsewhere: 5 of 6, 18 of 24
Layer = int | tuple[int, ...] | None  # several: their maps are averaged; None: where the method looks by itself


@dataclass(frozen=True, eq=False)
class CutModel:
    """A model that is explained, and where it can be cut."""

    network: Network
    tokenizer: PreTrainedTokenizerBase
    task: Task  # what its head is for
    prior: AnyPrior  # what an uninformative activation looks like
    name: str  # what records call the model
    _priors: dict[str, AnyPrior] = field(default_factory=dict, repr=False)
    typical_logits: dict[tuple[Any, ...], Tensor] = field(default_factory=dict, repr=False)  # of `typical_odds`

    @property
    def model(self) -> PreTrainedModel:
        """The model itself."""
        return self.network.model

    @property
    def blocks(self) -> int:
        """Number of its blocks."""
        return len(self.network.blocks)

    @property
    def padding(self) -> int:
        """The token that pads."""
        return padding_id(self.model, self.tokenizer)

    @property
    def sinks(self) -> Sinks:
        """Which tokens of a text are sinks, for priors that do not say."""
        return sinks_of(self.network, self.tokenizer)

    def layers(self, layer: Layer, usual: Sequence[int], prior: AnyPrior | None = None) -> tuple[int, ...]:
        """Choose layers, rising, each once, by a setting or else the usual; all can be cut, the prior known there."""
        chosen = usual if layer is None else layer if isinstance(layer, tuple) else (layer,)
        if not chosen:
            raise LayerError(f"no layer to look at: choose some of 0 to {self.blocks}")
        checked = sorted({check_layer(each, self.blocks) for each in chosen})
        check_cut(self.network, self.tokenizer, checked)
        if prior is not None:
            for each in checked:
                prior.needs(each)
        return tuple(checked)

    def find_prior(self, name: str | None) -> AnyPrior:
        """Find the prior that a method's setting names; None = the model's."""
        if name is None:
            return self.prior
        if name not in self._priors:
            self._priors[name] = _fitting_prior(name, self.model)
        return self._priors[name]

    @contextmanager
    def lent(self) -> Iterator["CutModel"]:
        """Give a private view of the model, with gradients: nothing that is done to it is seen by anyone else."""
        with torch.inference_mode(False), torch.enable_grad():  # the caller may have switched gradients off
            yield replace(self, network=Network.of(borrowed(self.model)))


PriorChoice = AnyPrior | str | Path | None


def choose_prior(prior: PriorChoice, method: object, model: PreTrainedModel) -> AnyPrior:
    """Find the prior of a model by its name or file; None = ``instance``, with a warning if the method needs one."""
    if prior is None:
        if getattr(method, "prior", "no setting") is None:
            warn(
                "no prior given: mean and deviation are taken from each text itself (prior='instance'); "
                "calibrate(model, tokenizer, texts), 'narrows calibrate' or --calibrate-with FILE makes a prior of 32 "
                "or more of your own texts, and measures what its maps are worth"
            )
        return PRIORS["instance"]
    return _fitting_prior(prior, model)


def _fitting_prior(prior: AnyPrior | str | Path, model: PreTrainedModel) -> AnyPrior:
    """Find a prior, which must not be that of another model."""
    found = find_prior(prior)
    if isinstance(found, Prior):
        found.check_model(identify(model))
    return found
