"""The result: what each token of one text contributed, in the unit of its method, and all that makes it again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from narrows import __version__
from narrows.bottleneck.trace import RatePoint, Trace, TracePoint, rate_curve, trace_dicts
from narrows.data import maps
from narrows.data.check import Check
from narrows.data.checking import misfit
from narrows.data.frames import Level, to_frame
from narrows.data.output import write_whole
from narrows.data.schema import AttributionDict, MethodDict, TokenDict
from narrows.data.units import Place, Unit, find_units, saved_places, saved_ranking, unit_dicts
from narrows.data.words import Word, find_words, make_words
from narrows.errors import InputError
from narrows.viz.caption import explains_little
from narrows.viz.figure import plot_map
from narrows.viz.files import render_file
from narrows.viz.html import render_fragment, render_page
from narrows.viz.spans import Shaded, at_level
from narrows.viz.terminal import render_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

DERIVED = ("unit", "signed", "additive")  # of the saved form: they stand in the method too
# What the saved form holds as it is.
SAVED = (
    "id",
    "gold",
    "text",
    "text_pair",
    *DERIVED,
    "target",
    "predicted",
    "method",
    "typical",
    "rise",
    "truncated",
    "model",
    "prior",
)


class Scored:
    """What has scores in the unit of a method."""

    method: MethodDict
    scores: "NDArray[np.float64]"

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.scores.flags.writeable = False  # copies and pickles of an array forget it

    @property
    def unit(self) -> str:
        """What the scores are counted in."""
        return self.method["unit"]

    @property
    def signed(self) -> bool:
        """Whether a score below 0 speaks against the target."""
        return self.method["signed"]

    @property
    def additive(self) -> bool:
        """Whether the scores add up to `rise`, but for `missed`."""
        return self.method["additive"]


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Scored):
    """One explained text.

    Attributes:
        text: The text, or the first of the pair.
        text_pair: The second text of a pair, or None.
        tokens: The tokens as the tokenizer spells them, special ones included.
        offsets: Start and end of each token in the text of its segment; None for a special token.
        segments: 0 for text, 1 for text_pair, None for a special token.
        scores: What was measured of each token, (tokens,), in the unit of the method.
        ranking: Positions of the tokens of the text, the first to be removed first; not always by the scores.
        target: The label that is explained.
        predicted: The label that the model predicts.
        probabilities: Label to probability, in the order of the model's logits.
        method: Name, settings and meaning of the method.
        layers: Where the model was cut, several if their maps were averaged; None for methods that look at no layer.
        typical: p(target) of a typical text, all tokens at the prior's mean; None where there is no prior.
        rise: Bits by which the log-odds of the target rise from a typical text to this one: what additive scores should
            add up to; None for other methods.
        trace: The optimisation, step by step, or the masks of a rate curve.
        truncated: Tokens that were cut off because the model takes no more.
        model: What was explained.
        prior: Where the mean of typical activations comes from; None for methods without a prior.
        record: Further facts that make the result again: blocks, dtype, the beta of this text.
        id: What the user's data calls the text: its column ``id`` or ``idx``, or the index of its data frame.
        gold: The label that came with the text, or None.
        places: Where the units are that were explained as one, (segment, start, end) each; None = each token is one.
        check: What the model says without the parts of the text that are ranked first; None unless it was asked.
        features: (tokens, hidden), float16, in the unit of the scores, which they add up to; None unless the method was
            asked for them. They are not part of the saved form.

    Raises:
        InputError: If the lengths do not fit, a score is not finite, or the ranking does not hold every token of the
            text once.
    """

    text: str
    text_pair: str | None
    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int] | None, ...]
    segments: tuple[int | None, ...]
    scores: "NDArray[np.float64]"
    ranking: tuple[int, ...]
    target: str
    predicted: str
    probabilities: dict[str, float]
    method: MethodDict
    layers: tuple[int, ...] | None = None
    typical: float | None = None
    rise: float | None = None
    trace: Trace = ()
    truncated: int = 0
    model: str = ""
    prior: str | None = None
    record: dict[str, Any] = field(default_factory=dict)
    id: str | int | None = None
    gold: str | None = None
    places: tuple[Place, ...] | None = None
    check: Check | None = None
    features: "NDArray[np.float16] | None" = None

    def __post_init__(self) -> None:
        for name in ("offsets", "segments", "scores"):
            if len(getattr(self, name)) != len(self.tokens):
                raise InputError(f"{len(self.tokens)} tokens but {len(getattr(self, name))} {name}")
        scores = np.array(self.scores, dtype=np.float64)
        if scores.ndim != 1:
            raise InputError(f"scores must be one number per token, not of shape {scores.shape}")
        if not np.isfinite(scores).all():
            raise InputError("scores hold NaN or infinity")
        scores.flags.writeable = False
        object.__setattr__(self, "scores", scores)
        ranking = tuple(int(position) for position in self.ranking)
        if sorted(ranking) != [position for position, segment in enumerate(self.segments) if segment is not None]:
            raise InputError("ranking must hold the position of every token that is not special, each once")
        object.__setattr__(self, "ranking", ranking)

    def __repr__(self) -> str:
        shown = [token if token.isprintable() else repr(token) for token in self.tokens]
        first = ", ".join(f"{shown[place]} {self.scores[place]:+.3g}" for place in self.ranking[:3])
        return f"Attribution({self.text[:40]!r}, target={self.target!r}, {self.method['name']}, {self.unit}: {first})"

    @property
    def special(self) -> tuple[bool, ...]:
        """True where a token is special: made by the tokenizer, not by the text."""
        return tuple(segment is None for segment in self.segments)

    @property
    def ranks(self) -> tuple[int | None, ...]:
        """Rank of each token in the `ranking`, 1 = the first to be removed; None for a special token."""
        ranks = {position: rank for rank, position in enumerate(self.ranking, 1)}
        return tuple(ranks.get(position) for position in range(len(self.tokens)))

    @property
    def probability(self) -> float | None:
        """p(target); None for a target without one, as a number or a contrast, and for the tag of a word."""
        return self.probabilities.get(self.target)

    @property
    def explains_little(self) -> bool:
        """Whether no token of the text has evidence of a tenth of a bit; such a map is drawn grey."""
        return explains_little(self.to_dict())

    @property
    def missed(self) -> float | None:
        """By how much the scores of an additive method miss the rise, in its unit; None for other methods."""
        return None if self.rise is None else self.rise - float(self.scores.sum())

    def rate_curve(self) -> list[RatePoint]:
        """Set the bits that pass the bottleneck against what is left of the prediction: points, fewest bits first.

        An optimised bottleneck trades one for the other step by step. ``complete`` opens all masks together and
        measures p(target) behind the noise whose bits it counts; its points carry a 95 % interval over the noise draws.
        A curve that stays high far to the left says that few bits suffice. Without a trace there are no points.

        Example:
            >>> from narrows import Explainer
            >>> explainer = Explainer.from_pretrained("sentiment", method="complete:steps=3:layer=4")
            >>> curve = explainer("A gorgeous, witty film.").rate_curve()
            >>> curve[0].probability < curve[-1].probability
            True
        """
        return rate_curve(self.trace)

    @property
    def units(self) -> tuple[Unit, ...]:
        """What was explained as one, in reading order, with the sums of its tokens' scores; empty for single tokens."""
        return find_units((self.text, self.text_pair), self._token_dicts(), self.places or ())

    def words(self) -> list[Word]:
        """Sum the scores of the tokens of each word, in reading order, those of text before those of text_pair."""
        return find_words(self.text, self.text_pair, self._token_dicts())

    def to_dict(self) -> AttributionDict:
        """Give the saved form, of plain dictionaries and lists, which ``narrows explain --json`` prints."""
        tokens = self._token_dicts()
        saved: Any = {name: getattr(self, name) for name in SAVED}
        saved |= {"tokens": tokens, "words": make_words(self.text, self.text_pair, tokens)}
        saved |= {"layers": None if self.layers is None else list(self.layers), "trace": trace_dicts(self.trace)}
        saved |= {"units": None if self.places is None else unit_dicts(self.units)}
        saved |= {"check": None if self.check is None else self.check.to_dict()}
        saved |= {"probabilities": dict(self.probabilities), "record": dict(self.record)}
        return {name: saved[name] for name in AttributionDict.__annotations__ if name in saved} | {  # type: ignore[return-value]
            "narrows_version": __version__
        }

    def _token_dicts(self) -> list[TokenDict]:
        columns = zip(self.tokens, self.offsets, self.segments, self.scores.tolist(), self.ranks, strict=True)
        return [
            {
                "token": token,
                "start": offset and offset[0],
                "end": offset and offset[1],
                "segment": segment,
                "special": segment is None,
                "score": score,
                "rank": rank,
            }
            for token, offset, segment, score, rank in columns
        ]

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Attribution":
        """Read what `to_dict` gives; an `InputError` if something is missing, or is not what it should be."""
        if wrong := misfit(saved, AttributionDict, "it"):
            raise InputError(f"no saved attribution: {wrong}")
        try:
            tokens = saved["tokens"]
            return cls(
                **{name: saved[name] for name in SAVED if name not in DERIVED},
                tokens=tuple(token["token"] for token in tokens),
                offsets=tuple(None if token["start"] is None else (token["start"], token["end"]) for token in tokens),
                segments=tuple(token["segment"] for token in tokens),
                scores=np.array([token["score"] for token in tokens], dtype=np.float64),
                ranking=saved_ranking(saved),
                probabilities=dict(saved["probabilities"]),
                layers=None if saved["layers"] is None else tuple(saved["layers"]),
                trace=tuple(TracePoint(**point) for point in saved["trace"]),
                record=dict(saved["record"]),
                places=saved_places(saved),
                check=None if saved["check"] is None else Check.from_dict(saved["check"]),
            )
        except InputError:
            raise
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"no saved attribution: {error!r}") from error

    def save(self, path: str | Path) -> None:
        """Write ``.json``, the saved form as it is, or ``.safetensors``, the scores as an array; or an `InputError`."""
        maps.write_saved(path, self.to_dict(), self.scores)

    @classmethod
    def load(cls, path: str | Path) -> "Attribution":
        """Read a file written by `save`; an `InputError` if it is missing or holds something else."""
        saved = maps.read_saved(path)
        try:
            return cls.from_dict(saved)
        except InputError as error:
            raise InputError(f"{path} holds no saved attribution: {error}") from error

    def to_frame(self, level: Level = "word") -> Any:
        """Give a pandas data frame, a row for each word, ``token`` or ``unit``, or one for the ``text``."""
        return to_frame([self.to_dict()], level)

    def show(self, level: Shaded = "word") -> None:
        """Print the map to the terminal, its words shaded, or its tokens."""
        Console().print(render_map(at_level(self.to_dict(), level)))

    def to_html(self, level: Shaded = "word") -> str:
        """Make one self-contained page of HTML, with every text escaped and nothing fetched from outside."""
        return render_page([at_level(self.to_dict(), level)])

    def plot(self, ax: "Axes | None" = None, level: Shaded = "word") -> "Axes":
        """Draw the map with matplotlib (extra ``plot``) on `ax`, or on a new figure; give the axes."""
        return plot_map(at_level(self.to_dict(), level), ax)

    def export(self, path: str | Path, level: Shaded = "word") -> None:
        """Draw the map to a file that its suffix names: ``.png``, ``.svg``, ``.pdf``, ``.tex``, ``.html``, ``.json``.

        Figures are running text as wide as a column of a paper; ``.tex`` needs xcolor. An `InputError` if that fails.
        """
        export([self.to_dict()], Path(path), level)

    def _repr_html_(self) -> str:
        """Let notebooks show the map."""
        return render_fragment(self.to_dict())


def export(saved: list[AttributionDict], path: Path, level: Shaded) -> None:
    """Draw results to a file that its suffix names; JSON has the tokens whatever is shaded."""
    shown = saved if path.suffix == ".json" else [at_level(own, level) for own in saved]
    write_whole(path, render_file(shown, path.suffix))
