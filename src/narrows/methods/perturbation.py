"""Methods that take tokens away and watch p(target): KernelSHAP and leave-one-out, computed by captum.

Captum sees a text as a presence vector, 1 where a content token is there and 0 where it is removed, so that every
perturbed text is made of exactly the tokens of the original. Special tokens are never removed and get 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.errors import InputError, NumericsError
from narrows.methods.method import Batch, Method, Scores, content_positions, load_captum, text_generator
from narrows.models.hub.loading import Classifier
from narrows.models.predict import predict
from narrows.models.text.encoding import Encoding
from narrows.models.text.removal import Removal, check_removal, remove

VARIANTS = 4_096  # perturbed texts that are held at once


def kernel_shap(samples: int = 100, removal: Removal = "delete", seed: int = 0) -> Method:
    """Explain with KernelSHAP (Lundberg and Lee 2017): Shapley values of the tokens, by a weighted regression.

    Args:
        samples: Perturbed texts per text, the whole one and the empty one among them.
        removal: How tokens are taken away: ``delete``, ``mask`` or ``attention``.
        seed: Of what is drawn; each text draws from its own.

    Returns:
        The method. Its scores are probabilities; those of a text add up to p(target) of the text minus that of
        the text without any content.

    Raises:
        InputError: If an option is out of its range; later, if the tokenizer has no mask token.
        DependencyError: If captum is missing.
    """
    check_options(removal, samples)
    captum = load_captum()

    def explain(classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
        check_removal(removal, classifier.tokenizer)
        scores = []
        for row, target in enumerate(targets):
            text = batch.take([row])
            if len(content_positions(text.encodings[0])) == 1:  # no distribution of sizes to draw from
                scores += _leave_one_out(captum, classifier, text, [target], removal)
                continue
            present, forward = _as_presence(classifier, text, [target], removal)
            with torch.random.fork_rng(devices=[]):  # captum draws on the CPU, where the presence vector is
                torch.default_generator.manual_seed(int(text_generator(seed, text.examples[0]).integers(2**63)))
                values = captum.KernelShap(forward).attribute(
                    present,
                    additional_forward_args=(torch.zeros(1, dtype=torch.long),),
                    n_samples=samples,
                    perturbations_per_eval=min(samples, VARIANTS),
                )
            scores += _per_token(text, values)
        return scores

    return explain


def occlusion(removal: Removal = "delete") -> Method:
    """Explain with what p(target) loses when one token is left out (Li et al., arXiv 1612.08220).

    Args:
        removal: How tokens are taken away: ``delete``, ``mask`` or ``attention``.

    Returns:
        The method. Its scores are probabilities.

    Raises:
        InputError: If there is no such removal; later, if the tokenizer has no mask token.
        DependencyError: If captum is missing.
    """
    check_options(removal)
    captum = load_captum()

    def explain(classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
        check_removal(removal, classifier.tokenizer)
        return _leave_one_out(captum, classifier, batch, targets, removal) if len(batch) else []

    return explain


def check_options(removal: str, samples: int = 2) -> None:
    """Make sure that a perturbation method can be made.

    Args:
        removal: How tokens are taken away.
        samples: Perturbed texts per text.

    Raises:
        InputError: If there is no such removal, or not two samples to compare.
    """
    if removal not in get_args(Removal):
        raise InputError(f"removal must be one of {', '.join(get_args(Removal))}, not {removal!r}")
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise InputError(f"samples must be a whole number, at least 2, not {samples!r}")


def predict_present(
    classifier: Classifier, batch: Batch, texts: Sequence[int], present: NDArray[np.bool_], removal: Removal
) -> NDArray[np.float64]:
    """Predict perturbed texts, each distinct one once.

    Args:
        classifier: The model and its tokenizer.
        batch: The texts.
        texts: For each perturbed text, which of the batch it is made of.
        present: True where a content token stays, (perturbed texts, content tokens of the longest text).
        removal: How the others are taken away.

    Returns:
        Probabilities, (perturbed texts, classes).

    Raises:
        NumericsError: If the model gives NaN.
    """
    content = [content_positions(encoding) for encoding in batch.encodings]
    distinct: dict[tuple[int, bytes], int] = {}
    variants: list[Encoding] = []
    places = []
    for text, row in zip(texts, present, strict=True):
        own = row[: len(content[text])]
        key = (text, own.tobytes())
        if key not in distinct:
            distinct[key] = len(variants)
            gone = [position for position, stays in zip(content[text], own, strict=True) if not stays]
            variants.append(remove(batch.encodings[text], gone, removal, classifier.tokenizer))
        places.append(distinct[key])
    p = predict(classifier.model, classifier.tokenizer, variants)[places]
    if not np.isfinite(p).all():
        example = batch.examples[texts[int(np.isnan(p).any(axis=1).argmax())]]
        raise NumericsError(f"the model predicts NaN for {example.text!r:.60} or a part of it")
    return p


def _leave_one_out(
    captum: Any, classifier: Classifier, batch: Batch, targets: Sequence[int], removal: Removal
) -> list[Scores]:
    """Leave out one token at a time, of all texts together."""
    present, forward = _as_presence(classifier, batch, targets, removal)
    values = captum.FeatureAblation(forward).attribute(
        present,
        additional_forward_args=(torch.arange(len(batch)),),
        perturbations_per_eval=max(VARIANTS // len(batch), 1),
    )
    return _per_token(batch, values)


def _as_presence(classifier: Classifier, batch: Batch, targets: Sequence[int], removal: Removal) -> tuple[Tensor, Any]:
    """Turn texts into presence vectors, and the classifier into a function of them.

    Args:
        classifier: The model and its tokenizer.
        batch: The texts.
        targets: Index of the target of each.
        removal: How tokens are taken away.

    Returns:
        All present, (texts, content tokens of the longest), and the function from presence (rows, content tokens) and
        the text of each row (rows,) to p(target), (rows,).
    """
    longest = max(len(content_positions(encoding)) for encoding in batch.encodings)

    def forward(present: Tensor, texts: Tensor) -> Tensor:
        rows = texts.tolist()
        p = predict_present(classifier, batch, rows, present.numpy() > 0.5, removal)
        return torch.from_numpy(p[np.arange(len(rows)), [targets[row] for row in rows]])

    return torch.ones(len(batch), longest, dtype=torch.float64), forward


def _per_token(batch: Batch, values: Tensor) -> list[Scores]:
    """Give every content token its value, (texts, content tokens of the longest), and special tokens 0."""
    scores = []
    for encoding, row in zip(batch.encodings, values.double().numpy(), strict=True):
        content = content_positions(encoding)
        own = np.zeros(len(encoding))
        own[content] = row[: len(content)]
        scores.append(own)
    return scores
