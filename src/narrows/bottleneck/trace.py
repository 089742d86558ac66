"""The trace: what passed a bottleneck and what that cost the prediction, point by point, and its rate curve."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from narrows.data.schema import TraceDict

INTERVAL = 1.96  # standard errors on either side of a mean: 95 %


@dataclass(frozen=True)
class TracePoint:
    """A bottleneck at one step of its optimisation, before the update (the last: after all), or at one of its masks."""

    # Cross-entropy, mean over the noise draws, and its standard error (0 = not measured) are nats; information is bits.
    step: int
    cross_entropy: float
    information: float
    error: float = 0.0


@dataclass(frozen=True)
class RatePoint:
    """How likely the target stays when so many bits, of all tokens together, pass the bottleneck.

    The probability is the geometric mean over noise draws and layers; low and high are the ends of its 95 % interval.
    """

    bits: float
    probability: float
    low: float
    high: float


Trace = tuple[TracePoint, ...]


def make_trace(cross_entropy: Iterable[float], information: Iterable[float], error: Iterable[float] = ()) -> Trace:
    """Number the points of a trace: nats and bits at each, and the standard error of the nats if it was measured."""
    nats = list(cross_entropy)
    values = zip(nats, information, list(error) or [0.0] * len(nats), strict=True)
    return tuple(TracePoint(step, *value) for step, value in enumerate(values))


def trace_dicts(trace: Iterable[TracePoint]) -> list[TraceDict]:
    """Give the saved form of a trace, one dictionary per point."""
    return [TraceDict(**asdict(point)) for point in trace]  # type: ignore[typeddict-item]


def rate_curve(trace: Iterable[TracePoint]) -> list[RatePoint]:
    """Set the bits that pass the bottleneck against what is left of the prediction, fewest bits first."""
    points = []
    for point in trace:
        margin = INTERVAL * point.error
        nats = (point.cross_entropy, point.cross_entropy + margin, point.cross_entropy - margin)
        points.append(RatePoint(point.information, *(min(math.exp(-value), 1.0) for value in nats)))
    return sorted(points, key=lambda point: point.bits)


def mean_rate_curve(traces: Sequence[Sequence[TracePoint]]) -> list[RatePoint]:
    """Average the rate curves of texts mask by mask, fewest bits first; empty unless all have as many points.

    Example:
        >>> mean_rate_curve([make_trace([0.0], [8.0]), make_trace([1e9], [4.0])])
        [RatePoint(bits=6.0, probability=0.5, low=0.5, high=0.5)]
    """
    if len({len(trace) for trace in traces}) != 1:
        return []
    means = []
    for points in zip(*traces, strict=True):
        rates = [rate_curve([point])[0] for point in points]
        columns = zip(*((rate.bits, rate.probability, rate.low, rate.high) for rate in rates), strict=True)
        means.append(RatePoint(*(math.fsum(column) / len(rates) for column in columns)))
    return sorted(means, key=lambda point: point.bits)
