"""Methods that follow the gradient of log p(target), in nats, computed by captum.

All but one look at the output of the model's input embedding, which every Hugging Face model has; positions, token
types and masks stay those of the text. Integrated gradients can also be taken at a layer, as the bottleneck is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from narrows.config import PAPER_DEPTH
from narrows.errors import InputError, ModelError
from narrows.methods.method import Batch, Method, Scores, content_positions, load_captum, text_generator
from narrows.models.cut.blocks import check_layer
from narrows.models.cut.network import Network
from narrows.models.cut.split import borrowed, forward_logits, run_prefix, run_suffix
from narrows.models.hub.loading import Classifier
from narrows.models.memory import TokenBudget
from narrows.models.padding import run_in_batches
from narrows.models.predict import BATCH_SIZE, BATCH_TOKENS
from narrows.models.text.encoding import collate, padding_id

Baseline = Literal["pad", "mask"]
"""What the content tokens are replaced with: [PAD] or [MASK]. Special tokens stay what they are."""

LogProbabilities = Callable[..., Tensor]
"""From activations (rows, tokens, features) and the model's inputs in their order to log p in nats, (rows, classes)."""


@dataclass(frozen=True)
class _Texts:
    """Texts that share their forward passes.

    Attributes:
        classifier: The model, borrowed, and its tokenizer.
        batch: The texts.
        inputs: The same as tensors by name, (batch, tokens) each.
        targets: Index of the target of each, (batch,).
    """

    classifier: Classifier
    batch: Batch
    inputs: dict[str, Tensor]
    targets: Tensor

    def explained(self) -> dict[str, Any]:
        """Give the arguments that every captum method takes."""
        return {"target": self.targets, "additional_forward_args": tuple(self.inputs.values())}


def gradient_x_input() -> Method:
    """Explain with the gradient times the embedding, summed over features (Shrikumar et al. 2016).

    Returns:
        The method. Its scores are nats, to first order.

    Raises:
        DependencyError: If captum is missing.
    """
    captum = load_captum()

    def attribute(texts: _Texts) -> Tensor:
        embedded = _embed(texts, texts.inputs["input_ids"]).requires_grad_()
        gradients: Tensor = captum.InputXGradient(_from_embeddings(texts)).attribute(embedded, **texts.explained())
        return gradients.sum(dim=-1)

    return _method(attribute)


def saliency() -> Method:
    """Explain with the L2 norm of the gradient over the features of the embedding (Simonyan et al. 2014).

    Returns:
        The method. Its scores have no sign: they say that a token matters, not for what.

    Raises:
        DependencyError: If captum is missing.
    """
    captum = load_captum()

    def attribute(texts: _Texts) -> Tensor:
        embedded = _embed(texts, texts.inputs["input_ids"]).requires_grad_()
        gradients: Tensor = captum.Saliency(_from_embeddings(texts)).attribute(embedded, abs=False, **texts.explained())
        norms: Tensor = torch.linalg.vector_norm(gradients, dim=-1)
        return norms

    return _method(attribute)


def integrated_gradients(steps: int = 10, baseline: Baseline = "pad") -> Method:
    """Explain with gradients integrated on the straight line from a text without content (Sundararajan et al. 2017).

        score_t = (e_t - b_t) . integral over a from 0 to 1 of d log p / d e_t at b + a (e - b)

    with e the embeddings of the text and b those of the baseline. With many steps the scores of a text add up to
    log p(target) of the text minus that of the baseline.

    Args:
        steps: Points of the Gauss-Legendre rule.
        baseline: ``"pad"`` or ``"mask"``: what stands in for the content tokens.

    Returns:
        The method. Its scores are nats; special tokens get 0, for the baseline keeps them.

    Raises:
        InputError: If an option is out of its range; later, if the tokenizer has no mask token.
        DependencyError: If captum is missing.
    """
    _check_count("steps", steps)
    _check_baseline(baseline)
    captum = load_captum()

    def attribute(texts: _Texts) -> Tensor:
        start = _embed(texts, _without_content(texts, baseline))
        end = _embed(texts, texts.inputs["input_ids"])
        return _integrate(captum, _from_embeddings(texts), texts, (start, end), steps)

    return _method(attribute, expansion=steps)


def layer_integrated_gradients(layer: int | None = None, steps: int = 10, baseline: Baseline = "pad") -> Method:
    """Explain with gradients integrated on the straight line between two activations of a layer.

    As `integrated_gradients`, from the activation of the text without content to that of the text; only the blocks
    after the layer are run at each step.

    Args:
        layer: 0 = output of the embeddings, n = output of the n-th block; None = after three quarters of the blocks.
        steps: Points of the Gauss-Legendre rule.
        baseline: ``"pad"`` or ``"mask"``: what stands in for the content tokens.

    Returns:
        The method. Its scores are nats; special tokens have their share, for blocks mix the positions.

    Raises:
        InputError: If an option is out of its range; later, if the tokenizer has no mask token.
        DependencyError: If captum is missing.
    """
    _check_count("steps", steps)
    _check_baseline(baseline)
    captum = load_captum()

    def attribute(texts: _Texts) -> Tensor:
        network = Network.of(texts.classifier.model)
        blocks = len(network.blocks)
        place = round(PAPER_DEPTH * blocks) if layer is None else check_layer(layer, blocks)
        prefix = run_prefix(network, texts.inputs, [place])
        # The ids stay those of the text, for some models count positions or find the last token by them.
        embedded = _embed(texts, _without_content(texts, baseline))
        with _replaced_embeddings(network.model, texts.inputs["input_ids"], embedded):
            empty = run_prefix(network, texts.inputs, [place])
        start, end = empty.activations[place], prefix.activations[place]

        def log_p(activation: Tensor, *values: Tensor) -> Tensor:
            inputs = dict(zip(texts.inputs, values, strict=True))
            return _log_p(run_suffix(network, prefix, inputs, place, activation.to(end.dtype)))

        return _integrate(captum, log_p, texts, (_at_least_float32(start), _at_least_float32(end)), steps)

    return _method(attribute, expansion=steps)


def gradient_shap(samples: int = 5, seed: int = 0, baseline: Baseline = "pad") -> Method:
    """Explain with the mean of (e - b) times the gradient at random points between b and e (Lundberg and Lee 2017).

    Args:
        samples: Points per text.
        seed: Of what is drawn; each text draws from its own.
        baseline: ``"pad"`` or ``"mask"``: what stands in for the content tokens.

    Returns:
        The method. Its scores are nats: integrated gradients with random in place of chosen steps.

    Raises:
        InputError: If an option is out of its range; later, if the tokenizer has no mask token.
        DependencyError: If captum is missing.
    """
    _check_count("samples", samples)
    _check_baseline(baseline)
    captum = load_captum()

    def attribute(texts: _Texts) -> Tensor:
        start = _embed(texts, _without_content(texts, baseline))
        end = _embed(texts, texts.inputs["input_ids"])
        together = max(BATCH_TOKENS // end.shape[1], 1)
        total = torch.zeros_like(end)
        with _seeded(int(text_generator(seed, texts.batch.examples[0]).integers(2**32)), end.device):
            for done in range(0, samples, together):
                drawn = min(together, samples - done)
                shap = captum.GradientShap(_from_embeddings(texts))
                total += drawn * shap.attribute(end, baselines=start, n_samples=drawn, **texts.explained())
        return total.sum(dim=-1) / samples

    return _method(attribute, alone=True)  # captum draws for a batch as a whole


def _method(attribute: Callable[[_Texts], Tensor], expansion: int = 1, alone: bool = False) -> Method:
    """Make a method of a function that scores texts of one batch.

    Args:
        attribute: From texts to scores, (batch, tokens).
        expansion: Rows that it makes of each text.
        alone: Give it one text at a time.

    Returns:
        The method.
    """
    most = 1 if alone else BATCH_SIZE

    def explain(classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
        model = classifier.model
        padding = padding_id(model, classifier.tokenizer)
        lengths = [len(encoding) for encoding in batch.encodings]
        scores: dict[int, Scores] = {}
        reader = (model, classifier.tokenizer)

        def attributed(rows: list[int]) -> Scores:
            part = batch.take(rows)
            inputs = collate(part.encodings, padding, model.device)
            wanted = torch.tensor([targets[row] for row in rows], device=model.device)
            return attribute(_Texts(classifier, part, inputs, wanted)).detach().cpu().double().numpy()

        # The caller may have switched gradients off.
        with torch.inference_mode(False), torch.enable_grad(), borrowed(model, padding):
            for rows, values in run_in_batches(reader, TokenBudget(BATCH_TOKENS), lengths, most, attributed, expansion):
                scores |= {row: own[: lengths[row]].copy() for row, own in zip(rows, values, strict=True)}
        return [scores[row] for row in range(len(batch))]

    return explain


def _integrate(captum: Any, log_p: LogProbabilities, texts: _Texts, ends: tuple[Tensor, Tensor], steps: int) -> Tensor:
    """Integrate gradients from one activation to another.

    Args:
        captum: The library.
        log_p: What comes after the activation.
        texts: The texts.
        ends: Where the line starts and ends, (batch, tokens, features) each.
        steps: Points on it.

    Returns:
        Scores, (batch, tokens).
    """
    start, end = ends
    together = max(BATCH_TOKENS // end.shape[1], len(end))  # rows; steps of a long text are cut into several passes
    integrated: Tensor = captum.IntegratedGradients(log_p).attribute(
        end, baselines=start, n_steps=steps, internal_batch_size=together, **texts.explained()
    )
    return integrated.sum(dim=-1)


def _from_embeddings(texts: _Texts) -> LogProbabilities:
    """Make the function from embeddings to what is explained."""
    model = texts.classifier.model

    def log_p(embedded: Tensor, *values: Tensor) -> Tensor:
        inputs = dict(zip(texts.inputs, values, strict=True))
        with _replaced_embeddings(model, inputs["input_ids"], embedded):
            return _log_p(forward_logits(model, inputs))

    return log_p


def _log_p(logits: Tensor) -> Tensor:
    return log_softmax(_at_least_float32(logits), dim=-1)


def _at_least_float32(value: Tensor) -> Tensor:
    return value.to(torch.promote_types(value.dtype, torch.float32))


def _embedding(model: nn.Module) -> nn.Module:
    try:
        return model.get_input_embeddings()  # type: ignore[operator, no-any-return]
    except NotImplementedError as error:
        raise ModelError(f"{type(model).__name__} names no input embedding to take gradients at") from error


def _embed(texts: _Texts, ids: Tensor) -> Tensor:
    """Look up embeddings, (batch, tokens, features), in float32 or better: points between two of them need it."""
    with torch.no_grad():
        return _at_least_float32(_embedding(texts.classifier.model)(ids))


@contextmanager
def _replaced_embeddings(model: nn.Module, ids: Tensor, embedded: Tensor) -> Iterator[None]:
    """Let the input embedding of a model give a tensor of one's own, in the dtype that it gives itself.

    Args:
        model: The model.
        ids: What it is run on, (rows, tokens).
        embedded: What its embedding is to give for them, (rows, tokens, features).

    Yields:
        Nothing.

    Raises:
        ModelError: If the model embeds other than these tokens in this order, or does not call its embedding.
    """
    calls = []

    def hook(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        calls.append(True)
        if not args or not torch.equal(args[0], ids):
            raise ModelError(
                f"{type(model).__name__} rearranges its tokens before it embeds them: no gradient fits them"
            )
        return embedded.to(output.dtype)

    handle = _embedding(model).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
    if not calls:
        raise ModelError(f"{type(model).__name__} does not call its input embedding: there is no gradient at it")


def _without_content(texts: _Texts, baseline: Baseline) -> Tensor:
    """Replace the content tokens with [PAD] or [MASK].

    Args:
        texts: The texts.
        baseline: With which of them.

    Returns:
        Token ids, (batch, tokens).

    Raises:
        InputError: If the tokenizer has no mask token.
    """
    model, tokenizer = texts.classifier.model, texts.classifier.tokenizer
    token = padding_id(model, tokenizer) if baseline == "pad" else tokenizer.mask_token_id
    if token is None:
        raise InputError(f"{type(tokenizer).__name__} has no mask token: choose baseline=pad")
    ids = texts.inputs["input_ids"].clone()
    for row, encoding in enumerate(texts.batch.encodings):
        ids[row, content_positions(encoding)] = token
    return ids


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators that captum draws from, and put them back.

    numpy's gives the points. torch's gives noise that is multiplied by 0; it is only put back.
    """
    before = np.random.get_state()
    devices = [] if device.type == "cpu" else [device]
    kind = "cuda" if device.type == "cpu" else device.type
    try:
        with torch.random.fork_rng(devices, device_type=kind):
            np.random.seed(seed)
            yield
    finally:
        np.random.set_state(before)


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a whole number, at least 1, not {value!r}")


def _check_baseline(baseline: str) -> None:
    if baseline not in get_args(Baseline):
        raise InputError(f"baseline must be 'pad' or 'mask', not {baseline!r}")
