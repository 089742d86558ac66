"""The trace: what passed a bottleneck and what that cost the prediction, point by point, and its rate curve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from narrows.data.schema import TraceDict


@dataclass(frozen=True)
class TracePoint:
    """A bottleneck at one step of its optimisation, before the update (the last: after all), or at one of its masks.

    Attributes:
        step: From 0; of masks, the most open one.
        cross_entropy: -log p(target) in nats, mean over the noise copies; that of the untouched text where evidence is
            read without a rate curve.
        information: Bits, summed over the tokens.
    """

    step: int
    cross_entropy: float
    information: float


@dataclass(frozen=True)
class RatePoint:
    """How likely the target stays when so much passes the bottleneck.

    Attributes:
        bits: Information that passes, all tokens together.
        probability: exp(-cross-entropy): the geometric mean of p(target) over noise copies and layers.
    """

    bits: float
    probability: float


Trace = tuple[TracePoint, ...]


def make_trace(cross_entropy: Iterable[float], information: Iterable[float]) -> Trace:
    """Number the points of a trace.

    Args:
        cross_entropy: Nats at each point.
        information: Bits at each.

    Returns:
        The points.

    Raises:
        ValueError: If there are more of one than of the other.

    Example:
        >>> make_trace([0.1], [8.0])
        (TracePoint(step=0, cross_entropy=0.1, information=8.0),)
    """
    values = zip(cross_entropy, information, strict=True)
    return tuple(TracePoint(step, nats, bits) for step, (nats, bits) in enumerate(values))


def trace_dicts(trace: Iterable[TracePoint]) -> list[TraceDict]:
    """Give the saved form of a trace.

    Args:
        trace: The points.

    Returns:
        One dictionary per point.
    """
    return [
        {"step": point.step, "cross_entropy": point.cross_entropy, "information": point.information} for point in trace
    ]


def rate_curve(trace: Iterable[TracePoint]) -> list[RatePoint]:
    """Set the bits that pass the bottleneck against what is left of the prediction.

    Args:
        trace: The points, in any order.

    Returns:
        As many points, fewest bits first.

    Example:
        >>> rate_curve(make_trace([0.0, 1e9], [8.0, 0.0]))
        [RatePoint(bits=0.0, probability=0.0), RatePoint(bits=8.0, probability=1.0)]
    """
    points = [RatePoint(point.information, math.exp(-point.cross_entropy)) for point in trace]
    return sorted(points, key=lambda point: point.bits)


def mean_rate_curve(traces: Sequence[Sequence[TracePoint]]) -> list[RatePoint]:
    """Average the rate curves of texts point by point: points stand for the same masks, not for the same bits.

    Args:
        traces: One per text.

    Returns:
        Means of the bits and of p(target), the fewest bits first; empty unless all texts have as many points.

    Example:
        >>> mean_rate_curve([make_trace([0.0], [8.0]), make_trace([1e9], [4.0])])
        [RatePoint(bits=6.0, probability=0.5)]
    """
    if len({len(trace) for trace in traces}) != 1:
        return []
    means = []
    for points in zip(*traces, strict=True):
        kept = [math.exp(-point.cross_entropy) for point in points]
        bits = [point.information for point in points]
        means.append(RatePoint(math.fsum(bits) / len(bits), math.fsum(kept) / len(kept)))
    return sorted(means, key=lambda point: point.bits)
