"""Evidence in bits of log-odds, measured again with the strongest tokens masked; masked first is ranked first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial, reduce
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from narrows.attribution import Attribution
from narrows.bottleneck.channel import NATS_PER_BIT, as_half
from narrows.bottleneck.optimize import MOST, check_counts, check_seed
from narrows.bottleneck.path import Slopes, StraightPath, gauss_legendre, look, van_der_corput
from narrows.bottleneck.prior import AnyPrior
from narrows.bottleneck.rate import even_alphas, measure_distortion, measure_rate
from narrows.bottleneck.simpson import BEGUN, LEAST, place_steps
from narrows.bottleneck.trace import make_trace
from narrows.data.schema import MethodDict
from narrows.errors import InputError
from narrows.methods.cut_model import CutModel, Layer
from narrows.methods.iterations import Iterations
from narrows.methods.method import Batch, Names, Site, average
from narrows.methods.registry import changed, describe
from narrows.methods.settings import check_settings
from narrows.models.cut.blocks import text_config
from narrows.models.cut.causal import looks_back_only
from narrows.models.heads.task import Variant
from narrows.models.text.removal import Removal, neutral_token
from narrows.models.variants import odds_of_target, removable, run_variants, without

DEPTHS = (0, 3 / 6, 5 / 6)  # of the blocks; at least the first
WHOLE, USUAL = (0.0, 1.0), (0.2, 0.8)
WIDEST = 5.0  # logit of the most open mask of a rate curve, where the paper's optimisation starts
# The caption for targets without odds: a number, a whole distribution.
LOSS = "A token's score is the number of bits (0.69 nats each) by which it lowers the loss of the target."


@dataclass(frozen=True)
class Evidence:
    """Weight of evidence of each token, on the straight path from a typical text to this one.

        evidence_t = integral over lambda of d log2 odds(target | mean + lambda (X - mean)) / d lambda_t

    averaged over some layers. Over the whole path in one iteration (``complete``) the scores add up to the rise of the
    log-odds; ``fast``, the default, and ``best`` take the middle of the path and several iterations, which ranks tokens
    better at less cost, and do not add up.

    Raises:
        InputError: If a setting is out of its range.

    Example:
        >>> from narrows import Explainer
        >>> explainer = Explainer.from_pretrained("sentiment", method=Evidence(steps=6, iterations=3))
        >>> attribution = explainer("A gorgeous, witty film.")
        >>> attribution.tokens[attribution.ranking[0]]
        'gorgeous'
    """

    layer: Annotated[Layer, "The path runs after this block; several: the mean; none: first, 1/2, 5/6 of them."] = None
    steps: Annotated[int, "Steps on the path per layer, shared out among iterations; at most, where scores add up."] = 3
    iterations: Annotated[int, "How often evidence is measured, from the second time on without the strongest."] = 3
    interval: Annotated[
        tuple[float, float], "The part of the path: 0 = a typical text, 1 = this text; a calibration may move 0.2,0.8."
    ] = USUAL
    draws: Annotated[int, "Noise draws per mask for a rate curve, an even number; 0: no curve."] = 0
    prior: Annotated[str | None, "File of a prior, or 'instance'; none: that of the model."] = None
    leave_out: Annotated[
        bool, "Hold separators open, and measure a decoder's last token and sinks by removal, unless scores add up."
    ] = True
    tolerance: Annotated[float, "Where scores add up, bits by which they may miss the rise."] = 0.05
    features: Annotated[bool, "Keep the map of every feature of a token too; needs one iteration."] = False
    seed: Annotated[int, "Seed of the noise of the rate curve."] = 0

    names: ClassVar[Names] = {
        "fast": {},
        "best": {"steps": 12, "iterations": 4},
        "complete": {"steps": 60, "iterations": 1, "interval": WHOLE, "draws": 16},
    }
    label, quantity, unit, signed = "evidence", "evidence", "bits", True
    caption = (
        "A token's score is the number of bits by which it raises the log-odds of the target; one bit doubles them."
    )

    def __post_init__(self) -> None:
        check_settings(self)
        check_counts(self, "steps", "iterations")
        check_seed(self.seed)
        start, end = self.interval
        if not 0 <= start < end <= 1:
            raise InputError(f"interval must be two rising numbers from 0 to 1, not {self.interval!r}")
        if self.iterations > self.steps:
            raise InputError(f"{self.iterations} iterations need as many steps, there are {self.steps}")
        if self.features and self.iterations > 1:
            raise InputError("features need one iteration: choose iterations=1")
        if self.additive and self.steps < LEAST:
            raise InputError(f"scores add up from {LEAST} steps on, there are {self.steps}")
        if not 0 < self.tolerance < float("inf"):
            raise InputError(f"tolerance must be a number of bits above 0, not {self.tolerance!r:.60}")
        if self.draws not in range(0, MOST, 2):
            raise InputError(f"draws must be an even number of at least 0, not {self.draws!r:.60}")

    @property
    def additive(self) -> bool:
        """True on the whole path in one iteration."""
        return self.iterations == 1 and tuple(self.interval) == WHOLE

    @property
    def leaves_out(self) -> bool:
        """Whether tokens that are held open are measured by taking them out: not where scores are to add up."""
        return self.leave_out and not self.additive

    @property
    def copies(self) -> int:
        """Steps of one iteration, or those that a whole path begins with."""
        return min(self.steps, 2 * BEGUN + 1) if self.additive else -(-self.steps // self.iterations)

    @property
    def how(self) -> str:
        """Where and how often evidence was measured: the scores, and the ranking if that is another measurement."""
        start, end = self.interval
        if self.additive:
            path = "on the whole path from a typical text to this one"
            most = f"{self.steps} steps per layer at most"
            return (
                f"Measured {path}: at {most}, added until the scores miss the rise by {self.tolerance:g} bits or less."
            )
        first = len(self._steps(0))
        steps = f"{first} step{'' if first == 1 else 's'} per layer"
        said = f"Measured at {steps} on the path from a typical text to this one, from {start:.0%} to {end:.0%} of it."
        if self.iterations == 1:
            return said
        again = f"The ranking rests on {self.steps} steps in {self.iterations} iterations"
        return f"{said} {again}; after each, more of the strongest tokens are masked."

    def fitted(self, prior: AnyPrior) -> "Evidence":
        """Take the interval that a calibration chose, unless another than the usual one is set."""
        own = getattr(getattr(prior, "calibration", None), "interval", None)
        return self if own is None or tuple(self.interval) != USUAL else changed(self, {"interval": own})

    def layers_in(self, cut: CutModel, prior: AnyPrior) -> tuple[int, ...]:
        """Give the layers at which evidence is measured: the user's, those of a calibration, or the usual ones."""
        return cut.layers(self.layer, calibrated_layers(prior) or usual_layers(cut.blocks), prior)

    def explain(self, batch: Batch) -> list[Attribution]:
        """Measure the evidence at each layer, iteration by iteration, and average it."""
        prior = batch.cut.find_prior(self.prior)
        fitted = self.fitted(prior)
        layers = self.layers_in(batch.cut, prior)
        sites = typical = batch.sites(layers, prior)
        left_out = None
        if self.leaves_out:
            # Without its separators a pair would begin as one typical text, not as a typical pair.
            sites = hold(batch.read | separators(batch), typical)
            left_out = leave_out(batch, sites)
            if self.features and left_out is not None:
                raise InputError("what is measured by removal has no features: choose leave_out=false")
        done = Iterations.empty(batch.leading)  # units are picked whole, by their first tokens
        for iteration in range(self.iterations):
            masked = mask(sites, done.masked.gather(1, batch.leaders)) if done.masked.any() else sites
            looking = partial(look, features=self.features)
            path = mean_path([fitted.follow(looking, batch, site, iteration) for site in masked])
            if left_out is not None:
                path = left_out.put_into(path, fitted.interval)
            pooled = replace(path, log_p=batch.pooled(path.log_p))
            done = done.add(pooled, len(self._steps(iteration)))
            if self.iterations > 1:
                done = done.pick(iteration, (iteration + 1) / self.iterations)
        rankings = done.rankings() if self.iterations > 1 else None
        extras = self._extras(batch, typical, path, prior)
        for row, place in zip(*batch.read.nonzero(as_tuple=True), strict=True) if self.leaves_out else ():
            extras[row]["record"] = {"read_at": int(place)}
        made = batch.attributions(self, done.scores, rankings=rankings, layers=layers, prior=prior, extras=extras)
        about = describe(fitted)  # a calibration knows the method by what was asked for, the record by what was done
        loss: MethodDict = {**about, "caption": LOSS}
        pairs = zip(made, batch.goals, strict=True)
        return [replace(own, method=about if goal.has_odds else loss) for own, goal in pairs]

    def _steps(self, iteration: int) -> range:
        """Share the steps out among the iterations: the numbers of those of one."""
        start, end = (self.steps * done // self.iterations for done in (iteration, iteration + 1))
        return range(start, end)

    def follow(self, looking: Callable[..., Slopes], batch: Batch, site: Site, iteration: int = 0) -> StraightPath:
        """Look at the steps of an iteration, or at as many as each text needs, as many at once as fit; integrate."""
        at = (site.log_odds, site.activation, site.prior, site.narrowed)
        seen: list[Slopes] = []

        def look_at(masks: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(Slopes.join(batch.share_out(masks.shape[-1], lambda rows: looking(*at, masks[..., rows]))))
            return seen[-1].odds, seen[-1].evidence.sum(dim=-1)

        if self.additive:
            rounding = torch.finfo(site.activation.dtype).eps
            weights = place_steps(look_at, len(batch), self.tolerance, self.steps, rounding)
        else:
            once, part = self.iterations == 1, self.interval
            masks, even = gauss_legendre(self.steps, part) if once else van_der_corput(self._steps(iteration), part)
            look_at(masks)
            weights = [even]
        return reduce(StraightPath.__add__, [own.weigh(each) for own, each in zip(seen, weights, strict=True)])

    def _extras(self, batch: Batch, sites: Sequence[Site], path: StraightPath, prior: AnyPrior) -> list[dict[str, Any]]:
        """Give each text what stands beside its scores: the typical text, the rise, the rate curve, the features."""
        typical = torch.stack([batch.typical_odds(site, prior) for site in sites])
        rise = (batch.log_odds - typical).mean(dim=0) / NATS_PER_BIT
        extras: list[dict[str, Any]] = []
        curve = self._rate_curve(batch, sites) if self.draws else None
        for row in range(len(batch)):
            extra: dict[str, Any] = {}
            if batch.goals[row].has_odds:
                extra["typical"] = float(typical[:, row].sigmoid().mean())
            if self.additive:
                extra["rise"] = float(rise[row])
            if curve is not None:
                extra["trace"] = make_trace(*(part[:, row].tolist() for part in curve))
            if self.features:
                extra["features"] = as_half(path.features[row, : len(batch.encodings[row])])
            extras.append(extra)
        return extras

    def _rate_curve(self, batch: Batch, sites: Sequence[Site]) -> tuple[Tensor, Tensor, Tensor]:
        """Measure nats, bits and the standard error of the nats, (masks, batch) each, means over the layers."""
        alphas, seeds = even_alphas(WIDEST), batch.seeds(self.seed)
        nats, bits = [], []
        for site in sites:
            at = (site.activation, site.prior, site.narrowed, alphas)
            nats.append(measure_distortion(site.nll, *at, seeds, self.draws))
            bits.append(measure_rate(*at))
        pairs = average(nats)  # (draws / 2, masks, batch)
        error = pairs.std(dim=0) / len(pairs) ** 0.5 if len(pairs) > 1 else torch.zeros_like(pairs[0])
        return pairs.mean(dim=0), average(bits), error


@dataclass(frozen=True)
class LeftOut:
    """Tokens that are held open on the path, and what each does if it alone is taken out; all are (batch, tokens)."""

    tokens: Tensor  # True where a token was taken out
    evidence: Tensor  # bits of log-odds that the target loses without it
    log_p: Tensor  # bits of log2 p(target) that it loses

    def put_into(self, path: StraightPath, interval: tuple[float, float]) -> StraightPath:
        """Give these tokens what they do; to be ranked, they lose as much as others do on this part of the path."""
        start, end = interval
        evidence = torch.where(self.tokens, self.evidence, path.evidence)
        log_p = torch.where(self.tokens, self.log_p * (end - start), path.log_p)
        return replace(path, evidence=evidence, log_p=log_p)


def leave_out(batch: Batch, sites: Sequence[Site]) -> LeftOut | None:
    """Take each token out that is held open at every site, and may be removed: one pass for each."""
    # What is read at is deleted. In the place of a sink a token stands that says nothing: without any, the next token
    # would become the sink, and its word would be lost too.
    fills: Removal = "delete" if neutral_token(batch.tokenizer) is None else "replace"
    held = (batch.content & ~torch.stack([site.narrowed for site in sites]).any(dim=0)).cpu()
    if not held.any():
        return None
    read = batch.read.cpu()
    task, rows, places, variants = batch.cut.task, list[int](), list[int](), list[Variant]()
    for row, asked in enumerate(zip(batch.questions, batch.goals, strict=True)):
        for place in removable(task, *asked):
            if held[row, place]:
                rows.append(row)
                places.append(place)
                removal = "delete" if read[row, place] else fills
                variants.append(without(task, batch.tokenizer, asked, [place], removal))
    if not variants:
        return None
    odds = torch.from_numpy(run_variants(batch.model, batch.tokenizer, task, variants, odds_of_target, batch.budget))
    whole = batch.log_odds.cpu().double()[rows]
    lost = torch.stack([whole - odds, logsigmoid(whole) - logsigmoid(odds)]) / NATS_PER_BIT
    found = torch.zeros(2, *held.shape)
    found[:, rows, places] = lost.to(found)
    tokens = torch.zeros_like(held)
    tokens[rows, places] = True
    device = batch.real.device
    return LeftOut(tokens.to(device), *found.to(device))


def usual_layers(blocks: int) -> list[int]:
    """List the layers at which evidence is measured in a model of so many blocks: after the first, half, and 5/6."""
    return [max(round(depth * blocks), 1) for depth in DEPTHS]


def calibrated_layers(prior: AnyPrior) -> tuple[int, ...] | None:
    """Give the layers that a calibration found to serve the model better than the usual ones."""
    calibration = getattr(prior, "calibration", None)
    return None if calibration is None else calibration.layers


def mask(sites: Sequence[Site], masked: Tensor) -> list[Site]:
    """Put the prior's mean in the place of tokens, (batch, tokens), at the first site, and carry it to the others."""
    # Tokens that are held open stay as they are.
    first, *deeper = sites
    mean = first.prior.mean.to(first.activation).expand_as(first.activation)
    shut = torch.where((masked & first.narrowed).unsqueeze(-1), mean, first.activation)
    carried = first.carry(shut, [site.layer for site in deeper]) if deeper else {}
    return [replace(first, activation=shut), *(replace(site, activation=carried[site.layer]) for site in deeper)]


def mean_path(paths: Sequence[StraightPath]) -> StraightPath:
    """Average the paths of several layers."""
    return StraightPath(*(average([getattr(path, each.name) for path in paths]) for each in fields(StraightPath)))


def separators(batch: Batch) -> Tensor:
    """Find the tokens that only divide the texts of an encoder, as [SEP], (batch, tokens); nothing is read there."""
    own, start = batch.tokenizer.sep_token_id, batch.tokenizer.cls_token_id
    found = batch.real & ~batch.content & (batch.inputs["input_ids"] == (-1 if own is None else own))
    # Decoders read the answer at a token that looks like a separator, and so do encoders with a decoder, as BART.
    two_stacks = getattr(text_config(batch.model), "is_encoder_decoder", False)
    if found.any() and (own == start or two_stacks or looks_back_only(batch.model)):
        return torch.zeros_like(found)
    return found


def hold(tokens: Tensor, sites: Sequence[Site]) -> list[Site]:
    """Hold tokens open at every site, (batch, tokens)."""
    return [site.holding(tokens) for site in sites] if tokens.any() else list(sites)
