"""Explainer: the algorithm from a text to its attribution, in five numbered steps."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.attribution import Attribution, TracePoint
from narrows.bottleneck import NATS_PER_BIT, token_bits
from narrows.config import Preset, Settings, choose_config
from narrows.errors import InputError, LayerError, NarrowsWarning
from narrows.example import Example, Item
from narrows.models.blocks import check_layer, identify, text_config
from narrows.models.encoding import collate, padding_id
from narrows.models.finite import check_finite, check_sound
from narrows.models.leak import check_cut
from narrows.models.loading import load_classifier
from narrows.models.long_text import LongTexts, merge
from narrows.models.network import Network
from narrows.models.padding import batches_for
from narrows.models.pipelines import unpack_pipeline
from narrows.models.reader import Reader
from narrows.models.split import Prefix, borrowed, run_prefix
from narrows.models.targets import negative_log_likelihood
from narrows.models.task import Question, Resolved
from narrows.optimize import OptimizedBottleneck, optimize, text_seed
from narrows.prior import Gaussian, Prior, instance_prior, residual_prior
from narrows.readout import read_out
from narrows.target import Target

if TYPE_CHECKING:
    from transformers import Pipeline
    from typing_extensions import Unpack

PriorChoice = Prior | str | Path | None

DEFAULT_DEPTH = 0.75  # the paper's layer 9 of 12
SUFFIX_TOKENS = 32_768  # tokens that go through the suffix together; bounds the memory of a batch
WINDOW = 4  # batches of a stream that are sorted by length together, and come out together


class Explainer:
    """Explains the predictions of one classifier with an information bottleneck after one layer.

    The model is borrowed for each call and left as it was.

    Attributes:
        model: The classifier.
        tokenizer: Its tokenizer.
        layer: The bottleneck stands after this block; 0 = after the embeddings.
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
        layer: int | None = None,
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
            layer: Where the bottleneck stands, 0 to the number of blocks; None = after three quarters of the blocks, as
                in the paper.
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
        self.layer = round(DEFAULT_DEPTH * self.blocks) if layer is None else check_layer(layer, self.blocks)
        self.prior = self._choose_prior(prior)
        self._reader = Reader(model, tokenizer, max_tokens, long_texts)
        self._check_layer(self.layer)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        layer: int | None = None,
        prior: PriorChoice = None,
        *,
        preset: Preset = "fast",
        device: str | None = None,
        **settings: Unpack[Settings],
    ) -> Explainer:
        """Load a classifier and prepare to explain it.

        Args:
            name: A demo model (``narrows models`` lists them), an id on the Hub, or a folder.
            layer: Where the bottleneck stands; None = after three quarters of the blocks.
            prior: As for `Explainer`; None = the prior that ships with the model, if there is one.
            preset: The settings to start from.
            device: Where to run; None = the first GPU where there is one, else the CPU.
            **settings: Fields of `BottleneckConfig` that differ from the preset.

        Returns:
            The explainer.

        Raises:
            ModelError: If there is no such model or it has no classification head.
        """
        classifier = load_classifier(name, device)
        chosen = classifier.prior if prior is None else prior
        return cls(classifier.model, classifier.tokenizer, layer, chosen, preset=preset, **settings)

    @classmethod
    def from_pipeline(
        cls, pipe: Pipeline, layer: int | None = None, prior: PriorChoice = None, **settings: Unpack[Settings]
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

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a string is an iterable of strings too
        self, inputs: Item, target: Target = ...
    ) -> Attribution: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a list is an iterable too
        self, inputs: list[Item], target: Target | Sequence[Target] = ..., batch_size: int = ...
    ) -> list[Attribution]: ...

    @overload
    def __call__(
        self, inputs: Iterable[Item], target: Target | Sequence[Target] = ..., batch_size: int = ...
    ) -> Iterator[Attribution]: ...

    def __call__(
        self,
        inputs: Item | Iterable[Item],
        target: Target | Sequence[Target] = None,
        batch_size: int = 32,
    ) -> Attribution | list[Attribution] | Iterator[Attribution]:
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
            return next(self._stream([(cast("Item", inputs), cast("Target", target))], 1))
        if not isinstance(inputs, Iterable):
            raise InputError(f"expected a text, a pair, a row or an iterable of these, not {type(inputs).__name__}")
        items = inputs
        listed = isinstance(items, (list, tuple))
        if not several:
            stream = self._stream(zip(items, repeat(cast("Target", target)), strict=False), batch_size)
        elif not isinstance(items, (list, tuple)):
            raise InputError("a list of targets needs a list of texts; a stream takes one target, or 'gold'")
        elif len(cast("Sequence[Target]", target)) != len(items):
            raise InputError(f"{len(items)} texts but {len(cast('Sequence[Target]', target))} targets")
        else:
            stream = self._stream(zip(items, cast("Sequence[Target]", target), strict=True), batch_size)
        return list(stream) if listed else stream

    def across_layers(
        self, item: Item, target: Target = None, layers: Sequence[int] | None = None
    ) -> list[Attribution]:
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
        chosen = range(first, self.blocks + 1) if layers is None else layers
        for layer in chosen:
            self._check_layer(check_layer(layer, self.blocks))
        asked = self._reader.ask(item, target)
        return [merge(asked.pieces, attributions) for attributions in self._explain(asked.questions, chosen)]

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

    def _check_layer(self, layer: int) -> None:
        if self.prior == "residual" and layer == 0:
            raise LayerError(f"the residual prior needs a layer before: choose layer 1 to {self.blocks}")
        check_cut(self._network, self.tokenizer, layer)

    def _stream(self, requests: Iterable[tuple[Item, Target]], batch_size: int) -> Iterator[Attribution]:
        """Explain window by window: within one, texts of like length share batches; they come out in their order."""
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}")
        for window in self._reader.windows(requests, WINDOW * batch_size, WINDOW * self._row_limit):
            questions = [question for asked in window for question in asked.questions]
            done: dict[int, Attribution] = {}
            lengths = [len(question.encoding) for question in questions]
            for rows in batches_for(self.model, self.tokenizer, lengths, batch_size, self._row_limit):
                (attributions,) = self._explain([questions[row] for row in rows], [self.layer])
                done.update(zip(rows, attributions, strict=True))
            finished = iter([done[row] for row in range(len(questions))])
            yield from (merge(asked.pieces, list(islice(finished, len(asked.questions)))) for asked in window)

    @property
    def _row_limit(self) -> int:
        return max(SUFFIX_TOKENS // self.config.samples, 1)

    def _explain(self, batch: Sequence[Question], layers: Sequence[int]) -> list[list[Attribution]]:
        """Explain a batch at some layers: the algorithm.

        Args:
            batch: Texts, encoded, and what is asked of each.
            layers: Where the bottleneck stands, one after the other.

        Returns:
            For each layer the attributions of the batch.
        """
        padding = padding_id(self.model, self.tokenizer)
        examples = [question.example for question in batch]
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
            needed = set(layers) | ({layer - 1 for layer in layers} if self.prior == "residual" else set())
            prefix = run_prefix(self._network, inputs, sorted(needed))
            check_finite(prefix, real, examples)
            answers = [
                self._reader.task.resolve(question, logits)
                for question, logits in zip(batch, prefix.logits, strict=True)
            ]
            explained = []
            for layer in layers:
                # 3. Prior: what an uninformative activation would look like there.
                activation = prefix.activations[layer]
                prior = self._prior_at(layer, prefix, real)
                # 4. Optimise: as much noise as the prediction survives.
                goals = [answer.goal for answer in answers]
                nll = negative_log_likelihood(self._network, prefix, inputs, layer, goals)
                seeds = [text_seed(self.config.seed, example.text, example.text_pair) for example in examples]
                bottleneck = optimize(nll, activation, prior, real, self.config, seeds)
                # 5. Read out: bits per token.
                bits = token_bits(bottleneck.nats, real)
                sound = torch.isfinite(bits).all(dim=1)
                check_sound(sound, examples, f"the optimisation at layer {layer} gave NaN or infinity")
                scores = read_out(self.config.readout, bits, nll, activation, prior)
                explained.append(self._attributions(batch, answers, layer, bottleneck, bits, scores))
        return explained

    def _prior_at(self, layer: int, prefix: Prefix, real: Tensor) -> Gaussian:
        if isinstance(self.prior, Prior):
            return self.prior.at(layer)
        if self.prior == "residual":
            return residual_prior(prefix.activations[layer - 1])
        return instance_prior(prefix.activations[layer].float(), real)

    def _attributions(
        self,
        batch: Sequence[Question],
        answers: Sequence[Resolved],
        layer: int,
        bottleneck: OptimizedBottleneck,
        bits: Tensor,
        scores: Tensor,
    ) -> list[Attribution]:
        cross_entropy, total_bits = bottleneck.cross_entropy.cpu(), (bottleneck.total_nats / NATS_PER_BIT).cpu()
        attributions = []
        for row, (question, answer) in enumerate(zip(batch, answers, strict=True)):
            trace = zip(cross_entropy[:, row].tolist(), total_bits[:, row].tolist(), strict=True)
            encoding = question.encoding
            attributions.append(
                Attribution(
                    text=question.example.text,
                    text_pair=question.example.text_pair,
                    tokens=encoding.tokens,
                    offsets=encoding.offsets,
                    segments=encoding.segments,
                    bits=bits[row, : len(encoding)].cpu().numpy(),
                    scores=scores[row, : len(encoding)].cpu().numpy(),
                    target=answer.target,
                    predicted=answer.predicted,
                    probabilities=dict(answer.probabilities),
                    layer=layer,
                    trace=tuple(TracePoint(step, ce, total) for step, (ce, total) in enumerate(trace)),
                    truncated=encoding.truncated,
                    config=self._record(float(bottleneck.beta[row])),
                )
            )
        return attributions

    def _record(self, beta: float) -> dict[str, Any]:
        """Give what makes one result again: the settings, with the beta that the text got."""
        prior = f"corpus {self.prior.digest}" if isinstance(self.prior, Prior) else self.prior
        rule = "auto" if self.config.beta == "auto" else "fixed"
        name = text_config(self.model)._name_or_path or type(self.model).__name__
        about = {"model": name, "blocks": self.blocks, "dtype": str(self.model.dtype).removeprefix("torch.")}
        used = float(f"{beta:.6g}")  # float32 carries no more
        return {**about, "prior": prior, **asdict(replace(self.config, beta=used)), "beta_rule": rule}


def _is_pair(inputs: Any) -> bool:
    return isinstance(inputs, tuple) and len(inputs) == 2 and all(isinstance(text, str) for text in inputs)
