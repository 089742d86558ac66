"""Explainer: from texts to their attributions.

1. Read: texts become questions, encoded, in windows where they are too long, with what is asked of each.
2. Batch: questions of like length that fit into memory go through the model together.
3. Explain: the method makes an attribution of each question of a batch (`narrows.methods`).
4. Merge: windows of one text become one attribution; results come in the order of the texts.

A text that cannot be read or explained is an error in its place, and costs no other text anything.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from narrows.attribution import Attribution
from narrows.attributions import Attributions, Result
from narrows.bottleneck.prior import PRIORS, AnyPrior
from narrows.data.example import Item, known_of
from narrows.data.source import class_names, rows_of
from narrows.data.units import UnitOf
from narrows.errors import (
    InputError,
    LayerError,
    ModelError,
    NarrowsError,
    TargetError,
    count,
    placed,
    strict,
    warn,
    warned,
)
from narrows.generation import GenerationAttribution
from narrows.methods.batches import Tick, explain_in_batches
from narrows.methods.cut_model import CutModel, PriorChoice, choose_prior
from narrows.methods.method import Method
from narrows.methods.registry import changed, find_method, spec
from narrows.methods.response import Response, explain_response, write_response
from narrows.methods.settings import settings_of
from narrows.models.check import checked
from narrows.models.cut.blocks import text_config, unwrapped
from narrows.models.cut.network import Network
from narrows.models.heads.names import TaskName
from narrows.models.heads.target import Target, as_plain, list_targets
from narrows.models.hub.given import check_model
from narrows.models.hub.loading import load_model
from narrows.models.hub.pipelines import unpack_pipeline
from narrows.models.memory import TokenBudget
from narrows.models.text.long_text import LongTexts
from narrows.models.text.reader import Asked, Reader, Request, list_requests, same_requests
from narrows.viz.progress import list_progress

if TYPE_CHECKING:
    from transformers import Pipeline

WINDOW = 4  # batches of a stream that are sorted by length together, and come out together; a list is one window


class Explainer:
    """Explains what a model predicts: what each token of a text contributes.

    The model is used as it is and left as it was.

    Attributes:
        model: The model.
        tokenizer: Its tokenizer.
        method: How maps are made: a frozen dataclass of settings.

    Example:
        >>> explainer = Explainer.from_pretrained("sentiment")
        >>> attribution = explainer("The acting is superb.")
        >>> attribution.predicted, min(attribution.words(), key=lambda word: word.rank).text
        ('positive', 'superb')
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        method: str | Method = "fast",
        prior: PriorChoice = None,
        *,
        max_tokens: int | None = None,
        long_texts: LongTexts = "truncate",
        max_tokens_per_batch: int | None = None,
    ) -> None:
        """Prepare to explain a model.

        Args:
            model: Any Hugging Face encoder or decoder that classifies, tags, answers, or fills or continues texts.
            tokenizer: Its fast tokenizer.
            method: A name with settings, ``"fast"``, ``"paper:layer=9"``, ``"ig:steps=50"``, or a method, such as
                ``Evidence(steps=12)``; ``narrows methods`` lists them.
            prior: A `Prior`, the path of a saved one, ``"instance"`` or ``"residual"``; None = ``"instance"``, with a
                warning.
            max_tokens: Most tokens of a text, special ones included; None = as many as the model takes.
            long_texts: What happens to a longer text: ``"truncate"`` cuts it, with a warning unless ``max_tokens`` is
                given; ``"windows"`` explains overlapping windows and averages them; ``"error"`` refuses it.
            max_tokens_per_batch: Most tokens, padding included, that go through the model together, but for the noise
                copies of one text; None = by the free memory. Halved if memory runs out. No map depends on it.

        Raises:
            ModelError: If this is no model of transformers, such as a wrapper around one.
            PriorError: If the prior belongs to another model.
            InputError: If there is no such method or setting.

        Example:
            >>> from narrows.models.hub.bundled import find
            >>> model, tokenizer = find("sentiment").load()
            >>> Explainer(model, tokenizer, method="ig:steps=20", prior="instance")("Superb.").unit
            'nats of log p'
        """
        check_model(model, tokenizer)
        self.model = model = unwrapped(model)
        self.tokenizer = tokenizer
        self.method: Method = find_method(method)
        limit = None if max_tokens is None else count("max_tokens", max_tokens)
        if limit is not None and limit <= (special := tokenizer.num_special_tokens_to_add()):
            raise InputError(f"max_tokens={limit} leaves no room for a text beside {special} special tokens")
        self._reader = Reader(model, tokenizer, limit, long_texts)
        name = text_config(model)._name_or_path or type(model).__name__
        network, task = Network.of(model), self._reader.task
        self._cut = CutModel(network, tokenizer, task, choose_prior(prior, self.method, model), name)
        self._budget = TokenBudget.of(model) if max_tokens_per_batch is None else TokenBudget(max_tokens_per_batch)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        method: str | Method = "fast",
        prior: PriorChoice = None,
        *,
        task: TaskName | None = None,
        device: str | None = None,
        max_tokens: int | None = None,
        long_texts: LongTexts = "truncate",
        max_tokens_per_batch: int | None = None,
    ) -> "Explainer":
        """Load a model with its head and prepare to explain it.

        Args:
            name: A demo model (``narrows models`` lists them), a folder, a ``.gguf`` file, or an id on the Hub.
            method: As for `Explainer`.
            prior: As for `Explainer`; None = the prior that ships with the model, if there is one.
            task: What its head is for, where the checkpoint does not say so, in a pipeline's words: ``"fill-mask"``.
            device: Where to run; None = the first GPU if there is one, else the CPU.
            max_tokens: As for `Explainer`.
            long_texts: As for `Explainer`.
            max_tokens_per_batch: As for `Explainer`.

        Raises:
            ModelError: If there is no such model, or its head is missing or cannot be explained.
        """
        loaded = load_model(name, device, task)
        return cls(
            loaded.model,
            loaded.tokenizer,
            method,
            loaded.prior if prior is None else prior,
            max_tokens=max_tokens,
            long_texts=long_texts,
            max_tokens_per_batch=max_tokens_per_batch,
        )

    @classmethod
    def from_pipeline(
        cls,
        pipe: "Pipeline",
        method: str | Method = "fast",
        prior: PriorChoice = None,
        *,
        max_tokens: int | None = None,
        long_texts: LongTexts | None = None,
        max_tokens_per_batch: int | None = None,
    ) -> "Explainer":
        """Prepare to explain what a pipeline of transformers predicts.

        What the pipeline is set to is taken over: where it cuts a text, and what it makes of the logits. A setting that
        Narrows cannot follow, or code of the user's own in it, is refused by name. Of text-generation, the model's
        probabilities are explained, from which the pipeline chooses.

        Args:
            pipe: One for text-classification, token-classification, fill-mask or text-generation.
            method: As for `Explainer`.
            prior: As for `Explainer`.
            max_tokens: As for `Explainer`; None = as many as the pipeline takes.
            long_texts: As for `Explainer`; None = cut where the pipeline cuts, and ``"error"`` where it does not.
            max_tokens_per_batch: As for `Explainer`.

        Raises:
            ModelError: If something of the pipeline's predictions cannot be explained.
        """
        model, tokenizer, own_limit, own_way = unpack_pipeline(pipe)
        return cls(
            model,
            tokenizer,
            method,
            prior,
            max_tokens=own_limit if max_tokens is None else max_tokens,
            long_texts=own_way if long_texts is None else long_texts,
            max_tokens_per_batch=max_tokens_per_batch,
        )

    def __repr__(self) -> str:
        return f"Explainer({self._cut.name!r}, method={spec(self.method)!r}, prior={self.prior.name!r})"

    @property
    def prior(self) -> AnyPrior:
        """Mean and deviation of typical activations, where paths start and noise comes from."""
        return self._cut.prior

    @property
    def blocks(self) -> int:
        """Number of blocks of the model."""
        return self._cut.blocks

    @overload
    def __call__(self, inputs: Item, target: Target = ..., *, per_token: Literal[True]) -> GenerationAttribution: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a string is an iterable of strings too
        self, inputs: Item, target: Target = ..., *, unit_of: UnitOf = ..., check: bool = ...
    ) -> Attribution: ...

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a list is an iterable too
        self,
        inputs: Collection[Item],
        target: Target | Collection[Target] = ...,
        batch_size: int = ...,
        unit_of: UnitOf | Sequence[UnitOf] = ...,
        *,
        check: bool = ...,
    ) -> Attributions: ...

    @overload
    def __call__(
        self,
        inputs: Iterable[Item],
        target: Target = ...,
        batch_size: int = ...,
        unit_of: UnitOf = ...,
        *,
        check: bool = ...,
    ) -> Iterator[Result]: ...

    def __call__(
        self,
        inputs: Item | Iterable[Item],
        target: Target | Collection[Target] = None,
        batch_size: int = 32,
        unit_of: UnitOf | Sequence[UnitOf] = "token",
        per_token: bool = False,
        check: bool = False,
    ) -> Attribution | Attributions | GenerationAttribution | Iterator[Result]:
        """Explain one text, a list, or a stream: one attribution, a list, or an iterator, in the order given.

        A text of a list or of a stream that cannot be explained has the `NarrowsError` that says why, such as
        ``texts[3]: text is empty``, in the place of its attribution, with a `NarrowsWarning`; the others get what they
        would get without it.

        Args:
            inputs: A text; a pair, as a tuple or as ``{"text": ..., "text_pair": ...}``; a list of these, or anything
                else with a length: a Series, an array, a `datasets.Dataset`, a frame or a mapping of columns, of which
                ``text``, ``text_pair`` and ``label`` are read; or a stream, anything that yields them without one.
            target: What to explain: a label by name or index, ``"gold"`` for the label given with each text, None for
                the predicted class; or a list, a Series, an array or a tensor of these, one per text.
            batch_size: Most texts that share a forward pass; what a text gets does not depend on it.
            unit_of: What is masked, removed and ranked as one, and summed up in `Attribution.units`: ``"token"``,
                ``"word"``, ``"sentence"`` (extra ``units``), ``"message"`` of a chat, or spans of characters, such as
                the documents of a context: (start, end) each, of a pair (segment, start, end). Of a list, one of these
                names for all, or a list of names or spans, one per text. Tokens outside of all spans are context:
                never removed.
            per_token: Explain each token of the target, the response to one prompt, by itself: see `generate`.
            check: Ask the model what it says without the words that the map ranks first: `Attribution.check`. That
                takes up to 63 short passes, and one for each further word of a text of up to 64 words.

        Raises:
            InputError: If there is nothing to explain in the one text that is given.
            TargetError: If the model has no such label.
            NumericsError: If the model computes NaN or infinity of the one text that is given.
            MemoryLimitError: If memory does not suffice for the one text that is given.
        """
        batch_size = count("batch_size", batch_size)
        if per_token:
            if target is None or rows_of(inputs) is not None or unit_of != "token" or check:
                said = "per_token=True takes one prompt, and its response as target; generate() writes one"
                raise InputError(f"{said}; single tokens have scores, so leave out unit_of and check")
            return self.generate(cast("Item", inputs), response=cast("Any", target), batch_size=batch_size)
        targets, rows, target = list_targets(target), rows_of(inputs), as_plain(target)
        if rows is None:
            if targets is not None and not self._reader.task.takes_ids:
                raise InputError("one text takes one target, not a list of them")
            request = Request(cast("Item", inputs), cast("Target", target), cast("UnitOf", unit_of), check)
            return next(strict(self.each([request], 1)))
        if targets is None:
            self._reader.check(cast("Target", target), class_names(inputs))
        if not isinstance(inputs, Sized):
            if targets is not None:
                raise InputError("a list of targets needs a list of texts; a stream takes one target, or 'gold'")
            stream = same_requests(rows, cast("Target", target), unit_of, check)
            return warned(placed(self.each(stream, batch_size)))
        items = list(rows)
        wanted = [cast("Target", target)] * len(items) if targets is None else targets
        requests = list_requests(items, wanted, unit_of, check)
        with list_progress(len(items)) as tick:
            found = Attributions(placed(self.each(requests, batch_size, max(len(items), 1), tick)))
        if failed := found.failures():
            warn(failed)
        return found

    def generate(
        self,
        prompt: Item,
        max_new_tokens: int = 32,
        response: str | Sequence[int] | None = None,
        options: Mapping[str, Any] | None = None,
        batch_size: int = 32,
    ) -> GenerationAttribution:
        """Let a causal language model write a response, and explain each token of it by all tokens before it.

        Args:
            prompt: A text, or messages of a chat, which go through the tokenizer's template.
            max_new_tokens: Most tokens to write; the end of text is not explained.
            response: A response to explain in place of one that the model writes: text or token ids.
            options: Options of `transformers.GenerationConfig`; without them the decoding is greedy. Sampling draws
                from torch's random numbers, as ``model.generate`` does.
            batch_size: Most outputs that share a pass, for methods that explain them one by one.

        Raises:
            ModelError: If the model is no causal language model.
            InputError: If there is nothing to explain, prompt and response are too long, or there is no such option.
            TargetError: If the response is neither text nor token ids.
        """
        if not self._reader.task.takes_ids:
            raise ModelError(f"{type(self.model).__name__} writes no text: a causal language model does")
        if response is None:
            most = count("max_new_tokens", max_new_tokens)
            response = write_response(self._cut, self._reader, prompt, most, options)
        elif options:
            raise InputError("options are for what the model writes, and the response is given")
        wanted = [response] if isinstance(response := as_plain(response), int) else response
        if not isinstance(wanted, (str, list, tuple)):
            raise TargetError(f"a response is text or token ids, not {wanted!r:.60}")
        (question,) = self._reader.ask(prompt, wanted).questions
        asked = Response.of(self.tokenizer, question)
        return explain_response(self._cut, self._budget, self.method, asked, count("batch_size", batch_size))

    def across_layers(self, item: Item, target: Target = None, layers: Sequence[int] | None = None) -> Attributions:
        """Explain one text at several layers, one attribution each; one plain run of the model serves all of them.

        Args:
            item: A text or a pair.
            target: What to explain.
            layers: Which; None = every layer that the prior covers, from the embeddings to the last block.

        Raises:
            LayerError: If a layer is out of range.
            InputError: If the method looks at no layer.
        """
        if "layer" not in settings_of(type(self.method)):
            raise InputError(f"the method {spec(self.method)} looks at no layer")
        own = self._cut.find_prior(getattr(self.method, "prior", None))
        first = 1 if own == PRIORS["residual"] else getattr(self.method, "first_layer", 0)
        chosen = range(first, self.blocks + 1) if layers is None else layers
        if not isinstance(chosen, Iterable) or not (by_layer := [changed(self.method, {"layer": i}) for i in chosen]):
            raise LayerError(f"layers must be a list of some of {first} to {self.blocks}, not {layers!r:.60}")
        (asked,) = strict(next(self._reader.windows([(item, target)], 1, 1)))
        explained = strict(explain_in_batches(self._cut, self._budget, asked.questions, by_layer, 1))
        return Attributions(asked.merge(attributions) for attributions in zip(*explained, strict=True))

    def each(
        self,
        requests: Iterable[Request | tuple[Item | NarrowsError, Target]],
        batch_size: int = 32,
        batches: int = WINDOW,
        tick: Tick = lambda _: None,
    ) -> Iterator[Attribution | NarrowsError]:
        """Explain a stream of texts, each with its target; an error stays, or comes, in the place of its text.

        All texts go through this, so many batches at a time; `tick` is called with the share of these that is done.
        """
        batch_size = count("batch_size", batch_size)
        tokens = self._budget.tokens // self.method.copies
        for window in self._reader.windows(requests, batches * batch_size, batches * max(tokens, 1)):
            questions = [question for asked in window if isinstance(asked, Asked) for question in asked.questions]
            explained = explain_in_batches(self._cut, self._budget, questions, [self.method], batch_size, tick)
            finished = iter(explained)
            for asked in window:
                if isinstance(asked, NarrowsError):
                    yield asked
                    continue
                own = list(islice(finished, len(asked.questions)))
                if error := next((found for found in own if isinstance(found, NarrowsError)), None):
                    error.row = known_of(asked.pieces.example)
                merged = error or asked.merge([found[0] for found in own if not isinstance(found, NarrowsError)])
                yield checked(self.model, self.tokenizer, asked, merged) if asked.check else merged
