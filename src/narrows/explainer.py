"""Explainer: the algorithm from a text to its attribution, in five numbered steps."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.attribution import Attribution, Attributions
from narrows.bottleneck.optimize import text_seed
from narrows.bottleneck.prior import Gaussian, Prior, instance_prior, residual_prior
from narrows.config import Preset, Settings, choose_config
from narrows.data.example import Example, Item
from narrows.errors import InputError, LayerError, NarrowsWarning
from narrows.models.cut.blocks import check_layer, identify, text_config
from narrows.models.cut.finite import check_finite, check_sound
from narrows.models.cut.leak import check_cut
from narrows.models.cut.network import Network
from narrows.models.cut.split import Prefix, borrowed, carry, run_prefix
from narrows.models.heads.goals import judge
from narrows.models.heads.target import Target
from narrows.models.heads.targets import negative_log_likelihood
from narrows.models.heads.task import Question
from narrows.models.hub.loading import load_classifier
from narrows.models.hub.pipelines import unpack_pipeline
from narrows.models.memory import TokenBudget
from narrows.models.padding import run_in_batches
from narrows.models.text.encoding import collate, content_mask, padding_id
from narrows.models.text.long_text import LongTexts, merge
from narrows.models.text.reader import Reader
from narrows.readout import Bottleneck
from narrows.result import make_attributions
from narrows.rounds import read_layers

if TYPE_CHECKING:
    from transformers import Pipeline
    from typing_extensions import Unpack

PriorChoice = Prior | str | Path | None

WINDOW = 4  # batches of a stream that are sorted by length together, and come out together; a list is one window


class Explainer:
    """Explains the predictions of one classifier with an information bottleneck after one layer.

    The model is borrowed for each call and left as it was.

    Attributes:
        model: The classifier.
        tokenizer: Its tokenizer.
        layers: The bottleneck stands after these blocks, one after the other, and the map is the mean of theirs; 0 =
            after the embeddings.
        prior: A `Prior`, ``"instance"`` or ``"residual"``.
        config: How the bottleneck is optimised and read out.

    Example:
        >>> explainer = Explainer.from_pretrained("sentiment", samples=2)
        >>> attribution = explainer("A gorgeous, witty film.")
        >>> attribution.predicted, max(attribution.words(), key=lambda word: word.bits).text
        ('positive', 'gorgeous')
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        layer: int | Sequence[int] | None = None,
        prior: PriorChoice = None,
        *,
        preset: Preset = "fast",
        max_tokens: int | None = None,
        long_texts: LongTexts = "truncate",
        **settings: Unpack[Settings],
    ) -> None:
        """Prepare to explain a classifier.

        Args:
            model: Any Hugging Face encoder or decoder that classifies, tags, answers, or fills or continues texts.
            tokenizer: Its fast tokenizer.
            layer: Where the bottleneck stands, 0 to the number of blocks; of several, the map is the mean of their
                maps; None = by the readout, see `narrows.config.DEPTHS`.
            prior: A `Prior`, the path of a saved one, ``"instance"`` or ``"residual"``; None = ``"instance"``, with a
                warning.
            preset: The settings to start from.
            max_tokens: What is a long text, special tokens counted; None = what is longer than the model takes.
            long_texts: ``"truncate"`` cuts a long text, with a warning unless ``max_tokens`` asks for it; ``"windows"``
                reads it in overlapping windows and takes their mean; ``"error"`` refuses it.
            **settings: Fields of `BottleneckConfig` that differ from the preset.

        Raises:
            LayerError: If the layer is out of range.
            PriorError: If the prior belongs to another model.
            InputError: If a setting is out of its range.
        """
        self.model = model
        self.tokenizer = tokenizer
        self.config = choose_config(preset, **settings)
        self._network = Network.of(model)
        self.prior = self._choose_prior(prior)
        self._reader = Reader(model, tokenizer, max_tokens, long_texts)
        self.layers = self._choose_layers(layer)
        most = self.config.max_tokens_per_batch
        self._budget = TokenBudget.of(model) if most is None else TokenBudget(most)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        layer: int | Sequence[int] | None = None,
        prior: PriorChoice = None,
        *,
        preset: Preset = "fast",
        device: str | None = None,
        max_tokens: int | None = None,
        **settings: Unpack[Settings],
    ) -> Explainer:
        """Load a classifier and prepare to explain it.

        Args:
            name: A demo model (``narrows models`` lists them), an id on the Hub, or a folder.
            layer: As for `Explainer`.
            prior: As for `Explainer`; None = the prior that ships with the model, if there is one.
            preset: The settings to start from.
            device: Where to run; None = the first GPU where there is one, else the CPU.
            max_tokens: As for `Explainer`.
            **settings: Fields of `BottleneckConfig` that differ from the preset.

        Returns:
            The explainer.

        Raises:
            ModelError: If there is no such model or it has no classification head.
        """
        classifier = load_classifier(name, device)
        chosen = classifier.prior if prior is None else prior
        model, tokenizer = classifier.model, classifier.tokenizer
        return cls(model, tokenizer, layer, chosen, preset=preset, max_tokens=max_tokens, **settings)

    @classmethod
    def from_pipeline(
        cls,
        pipe: Pipeline,
        layer: int | Sequence[int] | None = None,
        prior: PriorChoice = None,
        **settings: Unpack[Settings],
    ) -> Explainer:
        """Prepare to explain what a pipeline of transformers predicts.

        Args:
            pipe: A pipeline for texts: text-classification, token-classification, question-answering, fill-mask or
                text-generation.
            layer: As for `Explainer`.
            prior: As for `Explainer`.
            **settings: Fields of `BottleneckConfig` that differ from the preset ``fast``.

        Returns:
            The explainer of its model, with its tokenizer.

        Raises:
            ModelError: If the pipeline is for anything else.
        """
        return cls(*unpack_pipeline(pipe), layer, prior, **settings)

    @property
    def blocks(self) -> int:
        """Number of blocks of the model."""
        return len(self._network.blocks)

    @property
    def layer(self) -> int:
        """The layer at which the bottleneck stands; of several, the deepest."""
        return self.layers[-1]

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a string is an iterable of strings too
        self, inputs: Item, target: Target = ...
    ) -> Attribution: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a list is an iterable too
        self, inputs: list[Item], target: Target | Sequence[Target] = ..., batch_size: int = ...
    ) -> Attributions: ...

    @overload
    def __call__(
        self, inputs: Iterable[Item], target: Target | Sequence[Target] = ..., batch_size: int = ...
    ) -> Iterator[Attribution]: ...

    def __call__(
        self,
        inputs: Item | Iterable[Item],
        target: Target | Sequence[Target] = None,
        batch_size: int = 32,
    ) -> Attribution | Attributions | Iterator[Attribution]:
        """Explain one text, a list of texts, or a stream of them.

        Args:
            inputs: A text; a pair, as a tuple or as ``{"text": ..., "text_pair": ...}``; a list of these; or anything
                that yields them, a generator or a `datasets.Dataset` among them.
            target: What to explain: a label by name or index, ``"gold"`` for the label given with each text, None for
                the predicted class; or a list of these, one per text.
            batch_size: Most texts that share a forward pass; what a text gets does not depend on it.

        Returns:
            One attribution for one text, a list for a list, an iterator for anything else; in the order given.

        Raises:
            InputError: If there is nothing to explain in a text.
            TargetError: If the model has no such label.
            NumericsError: If the model computes NaN or infinity.
        """
        several = isinstance(target, (list, tuple))
        if isinstance(inputs, (str, Example, Mapping)) or _is_pair(inputs):
            if several:
                raise InputError("one text takes one target, not a list of them")
            return next(self._stream([(cast("Item", inputs), cast("Target", target))], 1, WINDOW))
        if not isinstance(inputs, Iterable):
            raise InputError(f"expected a text, a pair, a row or an iterable of these, not {type(inputs).__name__}")
        items = inputs
        window = len(items) if isinstance(items, (list, tuple)) else WINDOW
        if not several:
            stream = self._stream(zip(items, repeat(cast("Target", target)), strict=False), batch_size, window)
        elif not isinstance(items, (list, tuple)):
            raise InputError("a list of targets needs a list of texts; a stream takes one target, or 'gold'")
        elif len(cast("Sequence[Target]", target)) != len(items):
            raise InputError(f"{len(items)} texts but {len(cast('Sequence[Target]', target))} targets")
        else:
            stream = self._stream(zip(items, cast("Sequence[Target]", target), strict=True), batch_size, window)
        return Attributions(stream) if isinstance(items, (list, tuple)) else stream

    def across_layers(self, item: Item, target: Target = None, layers: Sequence[int] | None = None) -> Attributions:
        """Explain one text at several layers; the prefix is run once for all of them.

        Args:
            item: A text or a pair.
            target: What to explain.
            layers: Which; None = every layer that the prior covers, from the embeddings to the last block.

        Returns:
            One attribution per layer.

        Raises:
            LayerError: If a layer is out of range.
        """
        first = 1 if self.prior == "residual" else 0
        chosen = self._checked(range(first, self.blocks + 1) if layers is None else layers)
        asked = self._reader.ask(item, target)
        groups = [(layer,) for layer in chosen]
        return Attributions(
            merge(asked.pieces, attributions) for attributions in self._in_batches(asked.questions, groups, 1)
        )

    def _choose_prior(self, prior: PriorChoice) -> Prior | Literal["instance", "residual"]:
        if prior is None:
            warnings.warn(
                "no prior given: mean and deviation are taken from each text itself (prior='instance'); "
                "a corpus prior, made with 'narrows prior', gives better maps",
                NarrowsWarning,
                stacklevel=3,
            )
            return "instance"
        if prior == "instance":
            return "instance"
        if prior == "residual":
            return "residual"
        loaded = prior if isinstance(prior, Prior) else Prior.load(prior)
        loaded.check_model(identify(self.model))
        return loaded

    def _choose_layers(self, layer: int | Sequence[int] | None) -> tuple[int, ...]:
        if layer is None:
            return self._checked(self.config.layers(self.blocks))
        several = layer if isinstance(layer, Sequence) and not isinstance(layer, str) else (layer,)
        if not several:
            raise LayerError("no layer is given")
        return tuple(sorted(set(self._checked(several))))

    def _checked(self, layers: Iterable[Any]) -> tuple[int, ...]:
        checked = tuple(check_layer(layer, self.blocks) for layer in layers)
        if self.prior == "residual" and 0 in checked:
            raise LayerError(f"the residual prior needs a layer before: choose layer 1 to {self.blocks}")
        for layer in checked:
            check_cut(self._network, self.tokenizer, layer)
        return checked

    def _stream(self, requests: Iterable[tuple[Item, Target]], batch_size: int, batches: int) -> Iterator[Attribution]:
        """Explain so many batches at a time, in which texts of like length share one; they come out in their order."""
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}")
        tokens = self._budget.tokens // self.config.copies
        for window in self._reader.windows(requests, batches * batch_size, batches * max(tokens, 1)):
            questions = [question for asked in window for question in asked.questions]
            (attributions,) = self._in_batches(questions, [self.layers], batch_size)
            finished = iter(attributions)
            yield from (merge(asked.pieces, list(islice(finished, len(asked.questions)))) for asked in window)

    def _in_batches(
        self, questions: Sequence[Question], groups: Sequence[tuple[int, ...]], batch_size: int
    ) -> list[list[Attribution]]:
        """Explain texts in batches that fit into memory, for each group of layers in the order of the texts."""

        def explain(rows: list[int]) -> list[list[Attribution]]:
            return self._explain([questions[row] for row in rows], groups)

        lengths = [len(question.encoding) for question in questions]
        batches = run_in_batches(
            (self.model, self.tokenizer), self._budget, lengths, batch_size, explain, self.config.copies
        )
        done: list[dict[int, Attribution]] = [{} for _ in groups]
        for rows, explained in batches:
            for own, attributions in zip(done, explained, strict=True):
                own.update(zip(rows, attributions, strict=True))
        return [[own[row] for row in range(len(questions))] for own in done]

    def _explain(self, batch: Sequence[Question], groups: Sequence[tuple[int, ...]]) -> list[list[Attribution]]:
        """Explain a batch at some layers: the algorithm.

        Args:
            batch: Texts, encoded, and what is asked of each.
            groups: Layers whose maps are averaged, group by group.

        Returns:
            For each group the attributions of the batch.
        """
        padding = padding_id(self.model, self.tokenizer)
        examples = [question.example for question in batch]
        layers = sorted({layer for group in groups for layer in group})
        # 1. Encode: tokens, padded on the right, and which of them are real.
        inputs = collate([question.encoding for question in batch], padding, self.model.device)
        real = inputs["attention_mask"].bool()
        # The caller may have switched gradients off; the masks need them.
        with ExitStack() as guest:
            guest.enter_context(torch.inference_mode(False))
            guest.enter_context(torch.enable_grad())
            guest.enter_context(borrowed(self.model, padding))
            guest.enter_context(self._reader.task.reading(batch))
            # 2. Prefix: one plain pass gives the activations and the prediction.
            needed = {*layers, *(layer - 1 for layer in layers if self.prior == "residual")}
            prefix = run_prefix(self._network, inputs, sorted(needed))
            check_finite(prefix, real, examples)
            answers = [
                self._reader.task.resolve(question, logits)
                for question, logits in zip(batch, prefix.logits, strict=True)
            ]
            goals = [answer.goal for answer in answers]
            untouched = judge(goals, prefix.logits.unsqueeze(1)).squeeze(1)
            seeds = [text_seed(self.config.seed, example.text, example.text_pair) for example in examples]
            bottlenecks: dict[int, Bottleneck] = {}
            for layer in layers:
                # 3. Prior: what an uninformative activation would look like there.
                prior = self._prior_at(layer, prefix, real)
                # 4. Bottleneck: what comes after it judges what it lets pass.
                nll = negative_log_likelihood(self._network, prefix, inputs, layer, goals)
                deeper = [other for other in layers if other > layer]
                onward = partial(carry, self._network, prefix, inputs, layer, layers=deeper)
                activation = prefix.activations[layer]
                bottlenecks[layer] = Bottleneck(layer, nll, onward, activation, prior, real, seeds, untouched)
            # 5. Read out: open or narrow them, and score every token.
            content = content_mask([question.encoding for question in batch], real.device)
            readings = [read_layers([bottlenecks[layer] for layer in group], content, self.config) for group in groups]
        for group, reading in zip(groups, readings, strict=True):
            sound = torch.isfinite(reading.bits).all(dim=1) & torch.isfinite(reading.scores).all(dim=1)
            check_sound(sound, examples, f"the bottleneck at layer {', '.join(map(str, group))} gave NaN or infinity")
        record = self._record()
        return [
            make_attributions(batch, answers, group, reading, record)
            for group, reading in zip(groups, readings, strict=True)
        ]

    def _prior_at(self, layer: int, prefix: Prefix, real: Tensor) -> Gaussian:
        if isinstance(self.prior, Prior):
            return self.prior.at(layer)
        if self.prior == "residual":
            return residual_prior(prefix.activations[layer - 1])
        return instance_prior(prefix.activations[layer].float(), real)

    def _record(self) -> dict[str, Any]:
        """Give what makes a result again: the model, the prior and the settings."""
        prior = f"corpus {self.prior.digest}" if isinstance(self.prior, Prior) else self.prior
        name = text_config(self.model)._name_or_path or type(self.model).__name__
        about = {"model": name, "blocks": self.blocks, "dtype": str(self.model.dtype).removeprefix("torch.")}
        settings = asdict(self.config) | {"stretch": list(self.config.stretch)}  # as JSON has it
        for name in ("depths", "max_tokens_per_batch", "features"):  # the layers tell; the map does not depend on them
            del settings[name]
        rule = "auto" if self.config.beta == "auto" else "fixed"
        return {**about, "prior": prior, **settings, "beta_rule": rule}


def _is_pair(inputs: Any) -> bool:
    return isinstance(inputs, tuple) and len(inputs) == 2 and all(isinstance(text, str) for text in inputs)
