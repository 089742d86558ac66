"""The result: what each token of one text contributed, in bits, and all that is needed to check or redo it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from narrows import __version__
from narrows.bottleneck.trace import RatePoint, Trace, TracePoint, rate_curve, trace_dicts
from narrows.data.output import written_whole
from narrows.data.schema import AttributionDict, TokenDict
from narrows.data.words import Word, group_tokens, word_span
from narrows.errors import InputError
from narrows.viz.figure import plot_map
from narrows.viz.files import are_layers, render_file
from narrows.viz.fragments import render_list
from narrows.viz.html import render_fragment, render_page
from narrows.viz.terminal import render_layers, render_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

SAVED_FORMATS = (".json", ".safetensors")


@dataclass(frozen=True, eq=False)
class Attribution:
    """One explained text.

    Attributes:
        text: The text, or the first of the pair.
        text_pair: The second text of a pair, or None.
        tokens: The tokens as the tokenizer spells them, special ones included.
        offsets: Start and end of each token in the text of its segment; None for a special token.
        segments: 0 for text, 1 for text_pair, None for a special token.
        bits: What each token amounts to, (tokens,), bits, at least 0: the information that it had to transmit, or, for
            the readout ``evidence``, the size of its evidence.
        scores: The same, (tokens,), bits, with the direction where the readout has one: above 0 = for the target.
        target: The label that is explained.
        predicted: The label that the model predicts.
        probabilities: Label to probability, in the order of the model's logits.
        layer: The bottleneck stands after this block; 0 = after the embeddings; of several layers, the deepest.
        trace: The optimisation, step by step; for ``evidence``, the path from the open mask to the closed one.
        truncated: Tokens that were cut off because the model takes no more.
        method: The name of the method.
        config: Settings that make the result again.
        layers: All layers whose maps were averaged.
        features: (tokens, hidden), float16, bits, which add up to the scores; None unless the setting ``features`` asks
            for them. They are not part of the saved form.

    Raises:
        InputError: If the lengths do not fit, or a number is not finite, or bits are below 0.
    """

    text: str
    text_pair: str | None
    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int] | None, ...]
    segments: tuple[int | None, ...]
    bits: NDArray[np.float64]
    scores: NDArray[np.float64]
    target: str
    predicted: str
    probabilities: dict[str, float]
    layer: int
    trace: Trace
    truncated: int = 0
    method: str = "narrows"
    config: dict[str, Any] = field(default_factory=dict)
    layers: tuple[int, ...] = ()
    features: NDArray[np.float16] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers) or (self.layer,))
        for name in ("offsets", "segments", "bits", "scores"):
            if len(getattr(self, name)) != len(self.tokens):
                raise InputError(f"{len(self.tokens)} tokens but {len(getattr(self, name))} {name}")
        for name in ("bits", "scores"):
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.ndim != 1:
                raise InputError(f"{name} must be one number per token, not of shape {values.shape}")
            if not np.isfinite(values).all():
                raise InputError(f"{name} hold NaN or infinity")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if (self.bits < 0).any():
            raise InputError("bits are below 0: information never is")

    @property
    def special(self) -> tuple[bool, ...]:
        """True where a token is special: made by the tokenizer, not by the text."""
        return tuple(segment is None for segment in self.segments)

    @property
    def total_bits(self) -> float:
        """Bits of all tokens, special ones included: what the prediction needed, or all evidence for and against it."""
        return float(self.bits.sum())

    @property
    def carried_bits(self) -> float | None:
        """What the layer carries: bits through the open mask, before anything was optimised; None without a trace."""
        return self.trace[0].information if self.trace else None

    def rate_curve(self) -> list[RatePoint]:
        """Set the bits that pass the bottleneck against what is left of the prediction, along the trace.

        The optimised readouts trade one for the other step by step. ``evidence`` on the whole path, the preset
        ``complete``, opens all masks together, from closed to open, and measures p(target) behind the noise whose bits
        it counts; in rounds or on a part of the path nothing is measured but the open mask. A curve that stays high far
        to the left tells that few bits suffice.

        Returns:
            The points, fewest bits first; empty without a trace.

        Example:
            >>> from narrows import Explainer
            >>> explainer = Explainer.from_pretrained("sentiment", layer=4, preset="complete", points=3)
            >>> [round(point.probability, 1) for point in explainer("A gorgeous, witty film.").rate_curve()][:6]
            [0.5, 0.6, 0.6, 0.7, 1.0, 1.0]
        """
        return rate_curve(self.trace)

    @property
    def segment_bits(self) -> dict[str, float]:
        """Bits of each part: ``text``, ``text_pair`` where there is one, and the ``special`` tokens."""
        names = {0: "text", 1: "text_pair", None: "special"}
        totals = {"text": 0.0, **({} if self.text_pair is None else {"text_pair": 0.0}), "special": 0.0}
        for segment, bits in zip(self.segments, self.bits.tolist(), strict=True):
            totals[names[segment]] += bits
        return totals

    def words(self) -> list[Word]:
        """Sum the tokens of each word, by their offsets into the original string.

        Returns:
            The words in reading order, those of text before those of text_pair.
        """
        words = []
        for segment, text in ((0, self.text), (1, self.text_pair)):
            positions = [position for position, own in enumerate(self.segments) if own == segment]
            spans = [offset for position in positions if (offset := self.offsets[position]) is not None]
            for group in group_tokens(text or "", spans):
                tokens = tuple(positions[member] for member in group)
                words.append(self._word(text or "", segment, tokens))
        return words

    def _word(self, text: str, segment: int, tokens: tuple[int, ...]) -> Word:
        chosen = list(tokens)
        spans = [offset for token in tokens if (offset := self.offsets[token]) is not None]
        start, end = word_span(text, spans)
        bits, score = float(self.bits[chosen].sum()), float(self.scores[chosen].sum())
        return Word(text[start:end], start, end, segment, tokens, bits, score)

    def to_dict(self) -> AttributionDict:
        """Give the saved form, which ``narrows explain --json`` prints.

        Returns:
            Plain dictionaries, lists, numbers and strings.
        """
        return {
            "text": self.text,
            "text_pair": self.text_pair,
            "tokens": [self._token_dict(position) for position in range(len(self.tokens))],
            "words": [
                {"word": w.text, "start": w.start, "end": w.end, "segment": w.segment, "bits": w.bits, "score": w.score}
                for w in self.words()
            ],
            "target": self.target,
            "predicted": self.predicted,
            "probabilities": dict(self.probabilities),
            "layer": self.layer,
            "layers": list(self.layers),
            "total_bits": self.total_bits,
            "carried_bits": self.carried_bits,
            "truncated": self.truncated,
            "method": self.method,
            "config": dict(self.config),
            "trace": trace_dicts(self.trace),
            "narrows_version": __version__,
        }

    def _token_dict(self, position: int) -> TokenDict:
        start, end = self.offsets[position] or (None, None)
        return {
            "token": self.tokens[position],
            "start": start,
            "end": end,
            "segment": self.segments[position],
            "special": self.special[position],
            "bits": float(self.bits[position]),
            "score": float(self.scores[position]),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Attribution:
        """Read the saved form.

        Args:
            saved: What `to_dict` gives.

        Returns:
            The attribution.

        Raises:
            InputError: If something is missing.
        """
        try:
            tokens = saved["tokens"]
            return cls(
                text=saved["text"],
                text_pair=saved["text_pair"],
                tokens=tuple(token["token"] for token in tokens),
                offsets=tuple(None if token["start"] is None else (token["start"], token["end"]) for token in tokens),
                segments=tuple(token["segment"] for token in tokens),
                bits=np.array([token["bits"] for token in tokens], dtype=np.float64),
                scores=np.array([token["score"] for token in tokens], dtype=np.float64),
                target=saved["target"],
                predicted=saved["predicted"],
                probabilities=dict(saved["probabilities"]),
                layer=saved["layer"],
                trace=tuple(TracePoint(**point) for point in saved["trace"]),
                truncated=saved["truncated"],
                method=saved["method"],
                config=dict(saved["config"]),
                layers=tuple(saved.get("layers", ())),  # files of earlier versions have none
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"no saved attribution: {error!r}") from error

    def save(self, path: str | Path) -> None:
        """Write a file: ``.json``, the saved form as it is, or ``.safetensors``, the numbers as arrays.

        Args:
            path: Where to.

        Raises:
            InputError: If the name ends otherwise, or the file cannot be written.
        """
        saved = json.dumps(self.to_dict(), ensure_ascii=False)
        if _saved_format(path) == ".json":
            content = f"{saved}\n".encode()
        else:
            content = save({"bits": self.bits, "scores": self.scores}, {"attribution": saved})
        with written_whole(Path(path)) as partial:
            partial.write_bytes(content)

    @classmethod
    def load(cls, path: str | Path) -> Attribution:
        """Read a file written by `save`.

        Args:
            path: A ``.json`` or ``.safetensors`` file.

        Returns:
            The attribution.

        Raises:
            InputError: If the file is missing or holds something else.
        """
        name = Path(path)
        if _saved_format(path) and not name.is_file():
            raise InputError(f"no such file: {path}")
        try:
            if name.suffix == ".json":
                return cls.from_dict(json.loads(name.read_text(encoding="utf-8")))
            with safe_open(str(name), framework="numpy") as file:
                return cls.from_dict(json.loads((file.metadata() or {})["attribution"]))
        except (KeyError, UnicodeDecodeError, json.JSONDecodeError, SafetensorError, InputError) as error:
            raise InputError(f"{path} holds no saved attribution: {error}") from error

    def show(self) -> None:
        """Print the token map to the terminal."""
        Console().print(render_map(self.to_dict()))

    def to_html(self) -> str:
        """Make one self-contained page.

        Returns:
            HTML with every text escaped, and nothing fetched from outside.
        """
        return render_page([self.to_dict()])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the token map with matplotlib (extra ``plot``).

        Args:
            ax: Where to draw; None = a new figure.

        Returns:
            The axes.
        """
        return plot_map(self.to_dict(), ax)

    def export(self, path: str | Path) -> None:
        """Draw the map to a file that its suffix names: ``.png``, ``.svg``, ``.pdf``, ``.tex``, ``.html``, ``.json``.

        Args:
            path: Where to. Figures are running text as wide as a column of a paper; ``.tex`` needs xcolor.

        Raises:
            InputError: If the name ends otherwise, or the file cannot be written.
        """
        _export([self.to_dict()], Path(path))

    def _repr_html_(self) -> str:
        """Let notebooks show the map."""
        return render_fragment(self.to_dict())


class Attributions(list[Attribution]):
    """Several results: a list that can be shown, in a terminal and in a notebook, and drawn to a file.

    One text at several layers is shown as one picture, tokens by layers; other results one below the other.

    Example:
        >>> Attributions([])
        []
    """

    def to_dicts(self) -> list[AttributionDict]:
        """Give the saved forms.

        Returns:
            One per result, in their order.
        """
        return [attribution.to_dict() for attribution in self]

    def show(self) -> None:
        """Print the maps to the terminal."""
        saved = self.to_dicts()
        pictures = [render_layers(saved)] if saved and are_layers(saved) else map(render_map, saved)
        for picture in pictures:
            Console().print(picture)

    def export(self, path: str | Path) -> None:
        """Draw the maps to a file, as `Attribution.export` does.

        Args:
            path: Where to.

        Raises:
            InputError: If there is nothing to draw, the name ends otherwise, or the file cannot be written.
        """
        _export(self.to_dicts(), Path(path))

    def _repr_html_(self) -> str:
        """Let notebooks show the maps."""
        return render_list(self.to_dicts())


def _export(saved: list[AttributionDict], path: Path) -> None:
    with written_whole(path) as partial:
        partial.write_bytes(render_file(saved, path.suffix))


def _saved_format(path: str | Path) -> str:
    suffix = Path(path).suffix
    if suffix not in SAVED_FORMATS:
        raise InputError(f"{path}: the name must end in {' or '.join(SAVED_FORMATS)}")
    return suffix
