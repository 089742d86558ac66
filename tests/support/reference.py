"""The algorithm once more: slow, plain, float64, loops over texts, samples, tokens and features.

Written from the design, section 3, not from the package; nothing of the package is imported. Arrays are nested lists,
so that no broadcasting can hide a mistake. An activation is [token][feature]; real tokens only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Matrix = list[list[float]]
"""[token][feature]"""

Suffix = Callable[[Matrix], tuple[list[float], Callable[[list[float]], Matrix]]]
"""Maps T to the logits, and gives the function from the gradient of the logits to the gradient of T."""


def sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value)) if value >= 0 else math.exp(value) / (1.0 + math.exp(value))


def log_one_minus_mask(alpha: float) -> float:
    """log(1 - sigmoid(alpha)) = -log(1 + exp(alpha))."""
    return -alpha - math.log1p(math.exp(-alpha)) if alpha > 0 else -math.log1p(math.exp(alpha))


def kl(x: float, alpha: float, mean: float, std: float) -> float:
    """KL[P(T|X) || Q(T)] of one element, in nats."""
    mask, rest = sigmoid(alpha), sigmoid(-alpha)
    deviation = (x - mean) / std
    return -0.5 * (1.0 + 2.0 * log_one_minus_mask(alpha) - mask**2 * deviation**2 - rest**2)


def kl_gradient(x: float, alpha: float, mean: float, std: float) -> float:
    """d KL / d alpha = mask (1 - mask) (mask R^2 - (1 - mask)) + mask."""
    mask, rest = sigmoid(alpha), sigmoid(-alpha)
    deviation = (x - mean) / std
    return mask * rest * (mask * deviation**2 - rest) + mask


def mix(x: float, alpha: float, eps: float) -> float:
    """T = lambda X + (1 - lambda) eps."""
    return sigmoid(alpha) * x + sigmoid(-alpha) * eps


def cross_entropy(logits: Sequence[float], target: int) -> tuple[float, list[float]]:
    """-log softmax(logits)[target], and its gradient: softmax minus the one-hot target."""
    top = max(logits)
    total = sum(math.exp(value - top) for value in logits)
    probabilities = [math.exp(value - top) / total for value in logits]
    gradient = [p - (1.0 if index == target else 0.0) for index, p in enumerate(probabilities)]
    return top + math.log(total) - logits[target], gradient


def log_odds(logits: Sequence[float], target: int) -> tuple[float, list[float]]:
    """log p - log (1 - p) of softmax(logits)[target], and its gradient: 1 for the target, the others share out -1."""
    others = [value for index, value in enumerate(logits) if index != target]
    top = max(others)
    total = sum(math.exp(value - top) for value in others)
    gradient = [1.0 if i == target else -math.exp(value - top) / total for i, value in enumerate(logits)]
    return logits[target] - top - math.log(total), gradient


@dataclass
class Result:
    alpha: Matrix
    nats: Matrix  # after the last update
    beta: float
    cross_entropy: list[float]  # before every update, and after the last
    total_nats: list[float]  # likewise

    @property
    def bits(self) -> list[float]:
        return [sum(row) / math.log(2.0) for row in self.nats]


def explain(
    x: Matrix,
    mean: Matrix,
    std: Matrix,
    suffix: Suffix,
    target: int,
    noise: Sequence[Sequence[Matrix]],  # [draw][sample][token][feature], standard normal; steps + 1 draws
    steps: int,
    beta: float | None,
    per_token: bool,
    learning_rate: float = 1.0,
    alpha_0: float = 5.0,
    beta_floor: float = 0.0,
    adam_eps: float = 1e-8,
) -> Result:
    """Minimise mean_s CE(suffix(T_s), y) + beta * mean KL over alpha with Adam (Kingma and Ba 2015), as torch has it.

    With beta None, the paper's rule: 10 * CE / KL at the first step, not below a floor.
    """
    tokens, features = len(x), len(x[0])
    width = 1 if per_token else features
    alpha = [[alpha_0] * width for _ in range(tokens)]
    first, second = [[0.0] * width for _ in range(tokens)], [[0.0] * width for _ in range(tokens)]

    def alpha_of(token: int, feature: int) -> float:
        return alpha[token][0 if per_token else feature]

    def information() -> Matrix:
        return [[kl(x[t][f], alpha_of(t, f), mean[t][f], std[t][f]) for f in range(features)] for t in range(tokens)]

    def judge(draw: Sequence[Matrix]) -> tuple[float, Matrix]:
        """Mean cross-entropy over the noise copies, and its gradient to the mask's logit of every element."""
        mean_ce, gradient = 0.0, [[0.0] * features for _ in range(tokens)]
        for sample in draw:
            eps = [[mean[t][f] + std[t][f] * sample[t][f] for f in range(features)] for t in range(tokens)]
            mixed = [[mix(x[t][f], alpha_of(t, f), eps[t][f]) for f in range(features)] for t in range(tokens)]
            logits, back = suffix(mixed)
            value, of_logits = cross_entropy(logits, target)
            of_mixed = back(of_logits)
            mean_ce += value / len(draw)
            for t in range(tokens):
                for f in range(features):
                    slope = sigmoid(alpha_of(t, f)) * sigmoid(-alpha_of(t, f))
                    gradient[t][f] += of_mixed[t][f] * (x[t][f] - eps[t][f]) * slope / len(draw)
        return mean_ce, gradient

    cross_entropies, totals = [], []
    for step in range(steps):
        ce, of_ce = judge(noise[step])
        total = sum(sum(row) for row in information())
        cross_entropies.append(ce)
        totals.append(total)
        if beta is None:
            beta = max(10.0 * ce / (total / (tokens * features)), beta_floor)
        gradient = [[0.0] * width for _ in range(tokens)]
        for t in range(tokens):
            for f in range(features):
                of_kl = kl_gradient(x[t][f], alpha_of(t, f), mean[t][f], std[t][f]) / (tokens * features)
                gradient[t][0 if per_token else f] += of_ce[t][f] + beta * of_kl
        for t in range(tokens):
            for w in range(width):
                g = gradient[t][w]
                first[t][w] = 0.9 * first[t][w] + 0.1 * g
                second[t][w] = 0.999 * second[t][w] + 0.001 * g * g
                m = first[t][w] / (1.0 - 0.9 ** (step + 1))
                v = second[t][w] / (1.0 - 0.999 ** (step + 1))
                alpha[t][w] -= learning_rate * m / (math.sqrt(v) + adam_eps)

    cross_entropies.append(judge(noise[steps])[0])
    nats = information()
    totals.append(sum(sum(row) for row in nats))
    assert beta is not None
    return Result(alpha, nats, beta, cross_entropies, totals)


def instance_moments(x: Matrix) -> tuple[list[float], list[float]]:
    """Mean and population deviation of every feature over the tokens of one text, without any floor."""
    tokens, features = len(x), len(x[0])
    mean = [sum(x[t][f] for t in range(tokens)) / tokens for f in range(features)]
    variance = [sum((x[t][f] - mean[f]) ** 2 for t in range(tokens)) / tokens for f in range(features)]
    return mean, [math.sqrt(value) for value in variance]


def bits_of(nats: Matrix) -> list[float]:
    """Nats per element to bits per token: summed over the features, divided by ln 2."""
    return [sum(row) / math.log(2.0) for row in nats]


def direction(gradient: Matrix, x: Matrix, mean: Matrix) -> list[int]:
    """Sign of gradient . (x - mean) per token: does the token speak for (1) or against (-1) the target?"""
    signs = []
    for t in range(len(x)):
        total = sum(gradient[t][f] * (x[t][f] - mean[t][f]) for f in range(len(x[0])))
        signs.append((total > 0) - (total < 0))
    return signs
