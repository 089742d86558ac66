"""From what was read off a bottleneck to the results that users get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from narrows.attribution import Attribution
from narrows.bottleneck.trace import make_trace
from narrows.models.heads.task import Question, Resolved
from narrows.readout import Reading


def make_attributions(
    batch: Sequence[Question],
    answers: Sequence[Resolved],
    layers: tuple[int, ...],
    reading: Reading,
    record: Mapping[str, Any],
) -> list[Attribution]:
    """Make the results of a batch.

    Args:
        batch: The texts.
        answers: What is explained in each.
        layers: Where it was read.
        reading: What was read, the mean over these layers.
        record: What makes the results again, but for each text's beta.

    Returns:
        One result per text.
    """
    bits, scores = reading.bits.cpu().numpy(), reading.scores.cpu().numpy()
    cross_entropy, total_bits = reading.cross_entropy.cpu(), reading.total_bits.cpu()
    features = None if reading.features is None else reading.features.half().cpu().numpy()
    attributions = []
    for row, (question, answer) in enumerate(zip(batch, answers, strict=True)):
        encoding = question.encoding
        own = {} if reading.beta is None else {"beta": float(f"{float(reading.beta[row]):.6g}")}  # float32 has no more
        attributions.append(
            Attribution(
                text=question.example.text,
                text_pair=question.example.text_pair,
                tokens=encoding.tokens,
                offsets=encoding.offsets,
                segments=encoding.segments,
                bits=bits[row, : len(encoding)],
                scores=scores[row, : len(encoding)],
                target=answer.target,
                predicted=answer.predicted,
                probabilities=dict(answer.probabilities),
                layer=layers[-1],
                layers=layers,
                trace=make_trace(cross_entropy[:, row].tolist(), total_bits[:, row].tolist()),
                truncated=encoding.truncated,
                config={**record, **own},
                features=None if features is None else features[row, : len(encoding)],
            )
        )
    return attributions
