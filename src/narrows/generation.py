"""What a language model wrote, explained token by token: output tokens by all tokens before them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from rich.console import Console

from narrows import __version__
from narrows.attribution import Attribution, Scored
from narrows.data import maps
from narrows.data.checking import misfit
from narrows.data.output import write_whole
from narrows.data.schema import GenerationDict, MethodDict
from narrows.data.units import by_score
from narrows.errors import InputError, need
from narrows.viz.generation import Picture, render_generation_fragment, render_generation_page
from narrows.viz.generation_figure import By, plot_generation, render_generation_file
from narrows.viz.terminal import render_generation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

SUM = "A token's score is summed over the output tokens shown: what it does for all of them together."
ROWS = (".jsonl", ".parquet")  # files with one row per output token
SAVED = ("text", "response", "method", "truncated", "model", "prior", "id")  # as they are


@dataclass(frozen=True)
class Output:
    """One output token."""

    place: int  # its position among the tokens
    token_id: int  # its id
    target: str  # the token as it reads in a text
    predicted: str  # what the model holds most probable there
    probabilities: dict[str, float]  # text to probability of the most probable tokens and of this one
    typical: float | None = None  # its probability where all tokens before it are typical; None where there is no prior
    rise: float | None = None  # bits by which its log-odds rise from there, the sum of additive scores; else None

    @property
    def probability(self) -> float | None:
        """Its probability, given all tokens before it."""
        return self.probabilities.get(self.target)


@dataclass(frozen=True, eq=False, repr=False)
class GenerationAttribution(Scored):
    """A prompt and a response: for each output token, what every token before it contributed.

    ``g[j]`` is the `Attribution` of the j-th output token, with every picture of one map; ``g[2:5]`` are some outputs;
    `total` adds them up.

    Attributes:
        text: The prompt.
        response: The response.
        tokens: The tokens of prompt and response as the tokenizer spells them, special ones included.
        offsets: Start and end of each token in the text of its segment; None for a special token.
        segments: 0 for the prompt, 1 for the response, None for a special token.
        outputs: The output tokens that are explained.
        scores: What was measured, (outputs, tokens), in the unit of the method; exactly 0 from the output token on,
            which neither it nor what follows it can see.
        method: Name, settings and meaning of the method.
        layers: Where the model was cut; None for methods that look at no layer.
        truncated: Tokens of the prompt that were cut off because the model takes no more.
        model: What was explained.
        prior: Where the mean of typical activations comes from; None for methods without a prior.
        record: Further facts that make the result again.
        id: What the user's data calls the prompt, or None.

    Raises:
        InputError: If the lengths do not fit, a score is not finite, or an output has a score for a later token.

    Example:
        >>> from narrows import Explainer
        >>> explainer = Explainer.from_pretrained("lm")  # doctest: +SKIP
        >>> found = explainer.generate("The capital of France is", max_new_tokens=3)  # doctest: +SKIP
        >>> found[0].target, found.scores.shape  # doctest: +SKIP
        (' Paris', (3, 8))
    """

    text: str
    response: str
    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int] | None, ...]
    segments: tuple[int | None, ...]
    outputs: tuple[Output, ...]
    scores: "NDArray[np.float64]"
    method: MethodDict
    layers: tuple[int, ...] | None = None
    truncated: int = 0
    model: str = ""
    prior: str | None = None
    record: dict[str, Any] = field(default_factory=dict)
    id: str | int | None = None

    def __post_init__(self) -> None:
        for name in ("offsets", "segments"):
            if len(getattr(self, name)) != len(self.tokens):
                raise InputError(f"{len(self.tokens)} tokens but {len(getattr(self, name))} {name}")
        scores = np.array(self.scores, dtype=np.float64)
        if scores.shape != (len(self.outputs), len(self.tokens)) or not self.outputs:
            shape = (max(len(self.outputs), 1), len(self.tokens))
            raise InputError(f"scores must be of shape (outputs, tokens), {shape}, not {scores.shape}")
        if not np.isfinite(scores).all():
            raise InputError("scores hold NaN or infinity")
        for output, own in zip(self.outputs, scores, strict=True):
            if not 0 < output.place < len(self.tokens) or own[output.place :].any():
                raise InputError(f"the output at {output.place} has scores for tokens that it cannot see")
        scores.flags.writeable = False
        object.__setattr__(self, "scores", scores)

    @classmethod
    def of(cls, explained: Sequence[Attribution], tokens: Any, start: int) -> "GenerationAttribution":
        """Put the attributions of the outputs together; of the `Encoding`, the tokens from `start` are outputs."""
        first, ids, records = explained[0], tokens.features["input_ids"], [own.record for own in explained]
        scores = np.zeros((len(explained), len(tokens)))
        for row, own in enumerate(explained):
            scores[row, : len(own.scores)] = own.scores
        outputs = tuple(
            Output(place, ids[place], own.target, own.predicted, own.probabilities, own.typical, own.rise)
            for place, own in enumerate(explained, start=start)
        )
        return cls(
            text=first.text,
            response=first.text_pair or "",
            tokens=tokens.tokens,
            offsets=tokens.offsets,
            segments=tokens.segments,
            outputs=outputs,
            scores=scores,
            method=first.method,
            layers=first.layers,
            truncated=first.truncated,
            model=first.model,
            prior=first.prior,
            record={name: own for name, own in first.record.items() if all(r.get(name) == own for r in records)},
            id=first.id,
        )

    def __repr__(self) -> str:
        size = f"{len(self)} outputs x {len(self.tokens)} tokens"
        name, unit = self.method["name"], self.unit
        return f"GenerationAttribution({self.text[:40]!r} -> {self.response[:40]!r}, {name}, {unit}: {size})"

    def __len__(self) -> int:
        return len(self.outputs)

    @overload
    def __getitem__(self, index: int) -> Attribution: ...

    @overload
    def __getitem__(self, index: slice) -> "GenerationAttribution": ...

    def __getitem__(self, index: int | slice) -> "Attribution | GenerationAttribution":
        """Give the attribution of one output token, or the explanation of some of them."""
        if isinstance(index, slice):
            if not (outputs := self.outputs[index]):
                raise InputError(f"no outputs in [{index.start}:{index.stop}]: there are {len(self)}")
            return replace(self, outputs=outputs, scores=self.scores[index])
        output = self.outputs[index]
        tokens = {"text": output.target, "ids": [output.token_id]}
        return replace(
            self._before(output.place, self.scores[index]),
            target=output.target,
            predicted=output.predicted,
            probabilities=dict(output.probabilities),
            typical=output.typical,
            rise=output.rise,
            record={**self.record, "target_tokens": [tokens], "output": output.place},
        )

    def __iter__(self) -> Iterator[Attribution]:
        return (self[index] for index in range(len(self)))

    @property
    def rise(self) -> "NDArray[np.float64] | None":
        """Bits by which the log-odds of each output rise from typical tokens to these, (outputs,); None = no sums."""
        rises = [output.rise for output in self.outputs]
        return None if None in rises else np.array(rises, dtype=np.float64)

    @property
    def missed(self) -> "NDArray[np.float64] | None":
        """By how much the scores of each output miss its rise, (outputs,); None for methods that do not add up."""
        return None if (rise := self.rise) is None else rise - self.scores.sum(axis=1)

    @property
    def probability(self) -> float:
        """The probability of all outputs, each given all tokens before it."""
        return float(np.prod([output.probability or 0.0 for output in self.outputs]))

    def total(self) -> Attribution:
        """Add up the outputs: what each token contributed to all of them together.

        Of evidence, the sum of the bits by which a token raises the log-odds of each output token.
        """
        return self._summed(max(output.place for output in self.outputs))

    def _summed(self, place: int) -> Attribution:
        start, places = len(self.tokens) - len(self.outputs), [output.place for output in self.outputs]
        every = places == list(range(start, len(self.tokens))) and 1 not in self.segments[:start]
        target = self.response if every else "".join(output.target for output in self.outputs)
        return replace(
            self._before(place, self.scores.sum(axis=0)),
            target=target,
            predicted="".join(output.predicted for output in self.outputs),
            probabilities={target: self.probability},
            rise=None if self.rise is None else float(self.rise.sum()),
            method={**self.method, "caption": f"{self.method['caption']} {SUM}"},
            record={**self.record, "outputs": places},
        )

    def _before(self, place: int, scores: "NDArray[np.float64]") -> Attribution:
        """Make an attribution of the tokens before a place, (tokens,), which does not yet say of what."""
        return Attribution(
            text=self.text,
            text_pair=self.response,
            tokens=self.tokens[:place],
            offsets=self.offsets[:place],
            segments=self.segments[:place],
            scores=scores[:place],
            ranking=by_score(scores, self.segments[:place]),
            target="",
            predicted="",
            probabilities={},
            method=self.method,
            layers=self.layers,
            truncated=self.truncated,
            model=self.model,
            prior=self.prior,
            id=self.id,
        )

    def to_dict(self) -> GenerationDict:
        """Give the saved form, of plain dictionaries and lists."""
        tokens = zip(self.tokens, self.offsets, self.segments, strict=True)
        saved: Any = {name: getattr(self, name) for name in (*SAVED, "unit", "signed", "additive")}
        saved |= {"layers": None if self.layers is None else list(self.layers), "record": dict(self.record)}
        saved["tokens"] = [
            {"token": name, "start": at and at[0], "end": at and at[1], "segment": own, "special": own is None}
            for name, at, own in tokens
        ]
        saved["outputs"] = [
            {**asdict(output), "probability": output.probability, "scores": own}
            for output, own in zip(self.outputs, self.scores.tolist(), strict=True)
        ]
        saved["narrows_version"] = __version__
        return saved  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "GenerationAttribution":
        """Read what `to_dict` gives; an `InputError` if something is missing, or is not what it should be."""
        if wrong := misfit(saved, GenerationDict, "it"):
            raise InputError(f"no saved generation: {wrong}")
        try:
            tokens, outputs = saved["tokens"], saved["outputs"]
            return cls(
                **{name: saved[name] for name in SAVED},
                tokens=tuple(token["token"] for token in tokens),
                offsets=tuple(None if token["start"] is None else (token["start"], token["end"]) for token in tokens),
                segments=tuple(token["segment"] for token in tokens),
                outputs=tuple(Output(**{name: own[name] for name in Output.__annotations__}) for own in outputs),
                scores=np.array([own["scores"] for own in outputs], dtype=np.float64),
                layers=None if saved["layers"] is None else tuple(saved["layers"]),
                record=dict(saved["record"]),
            )
        except InputError:
            raise
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"no saved generation: {error!r}") from error

    def save(self, path: str | Path) -> None:
        """Write ``.json``, the saved form; or ``.jsonl`` or ``.parquet``, one row per output as of any explained text.

        Raises:
            InputError: If the name ends otherwise, or the file cannot be written.
        """
        if Path(path).suffix in ROWS:
            with maps.map_writer(Path(path)) as write:
                for attribution in self:
                    write(attribution.to_dict())
            return
        if Path(path).suffix != ".json":
            raise InputError(f"{path}: the name must end in .json, {' or '.join(ROWS)}")
        write_whole(Path(path), json.dumps(self.to_dict(), ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "GenerationAttribution":
        """Read a ``.json`` file written by `save`; an `InputError` if it is missing or holds something else."""
        if Path(path).suffix != ".json":
            raise InputError(f"{path}: a generation is read from its .json file")
        try:
            return cls.from_dict(maps.read_saved(path))
        except InputError as error:
            raise InputError(f"{path} holds no saved generation: {error}") from error

    def to_frame(self) -> Any:
        """Give a pandas data frame, one row for each output and each token before it.

        Columns: ``id`` of the prompt, ``output`` (number), ``target``, ``probability``, ``position``, ``token``,
        ``start``, ``end``, ``segment``, ``score``; a special token has neither offsets nor a segment.

        Raises:
            DependencyError: If pandas is not installed.
        """
        pandas = need("pandas", "to_frame needs pandas: pip install pandas")
        places = list(zip(self.tokens, self.offsets, self.segments, strict=True))
        rows = [
            (self.id, number, out.target, out.probability, place, token, *(offset or (None, None)), segment, score)
            for number, (out, own) in enumerate(zip(self.outputs, self.scores.tolist(), strict=True))
            for place, ((token, offset, segment), score) in enumerate(zip(places, own, strict=True))
            if place < out.place
        ]
        names = ["id", "output", "target", "probability", "position", "token", "start", "end", "segment", "score"]
        return pandas.DataFrame(rows, columns=names).astype(dict.fromkeys(("start", "end", "segment"), "Int64"))

    @property
    def picture(self) -> Picture:
        """What is drawn of it: the sum over the outputs, and the outputs."""
        return Picture(replace(self._summed(len(self.tokens)), method=self.method).to_dict(), self.to_dict()["outputs"])

    def show(self) -> None:
        """Print the prompt shaded by the sum, and each output with the words that contributed most to it."""
        Console().print(render_generation(self.picture))

    def to_html(self) -> str:
        """Make one self-contained page: pointing at an output token shades what contributed to it."""
        return render_generation_page(self.picture)

    def _repr_html_(self) -> str:
        """Let notebooks show it."""
        return render_generation_fragment(self.picture)

    def plot(self, ax: "Axes | None" = None, by: By = "word") -> "Axes":
        """Draw a heat map, output tokens by the words (or tokens) before them, with matplotlib (extra ``plot``).

        Args:
            ax: Where to draw; None = a new figure.
            by: ``"word"`` sums the tokens of a word, ``"token"`` shows each.
        """
        return plot_generation(self.picture, ax, by)

    def export(self, path: str | Path) -> None:
        """Draw to a file that its suffix names: ``.png``, ``.svg``, ``.pdf``, ``.html``, ``.json``.

        Raises:
            InputError: If the name ends otherwise, or the file cannot be written.
        """
        where = Path(path)
        if where.suffix == ".json":
            self.save(where)
            return
        write_whole(where, render_generation_file(self.picture, where.suffix))
