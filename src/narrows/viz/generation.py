"""Pages of a response that is explained token by token: pointing at an output shades the tokens before it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from narrows.data.schema import AttributionDict, OutputDict
from narrows.data.words import Word, find_words
from narrows.viz import caption
from narrows.viz.html import document, fill, map_values, script, style_sheet
from narrows.viz.shade import Scale, is_signed
from narrows.viz.spans import Span, cut, labels, named, one_line, unplaced

WORDS = 4  # of each output, in the table
Json = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """What is drawn: the sum over the outputs, of all tokens, and the outputs."""

    whole: AttributionDict
    outputs: Sequence[OutputDict]

    @cached_property
    def words(self) -> list[Word]:
        """The words of prompt and response."""
        return find_words(self.whole["text"], self.whole["text_pair"], self.whole["tokens"])

    @cached_property
    def signed(self) -> bool:
        """Whether a score can be below 0."""
        return is_signed([self.whole]) or any(score < 0 for output in self.outputs for score in output["scores"])

    @cached_property
    def word_scale(self) -> Scale:
        """One scale for the words of all outputs."""
        scores = (
            self.score(output, self.others(output, word.tokens)) for output in self.outputs for word in self.words
        )
        return Scale.of(scores, self.signed)

    def score(self, output: OutputDict, tokens: Sequence[int]) -> float:
        """Add up what some tokens contributed to an output."""
        return float(sum(output["scores"][place] for place in tokens))

    def others(self, output: OutputDict, tokens: Sequence[int]) -> list[int]:
        """Leave out the token at which an output is read, the one before it: it would outshine all others."""
        return [place for place in tokens if place != output["place"] - 1]

    def sum_scale(self, spans: Sequence[Span]) -> Scale:
        """Fit the scale of the sum over the outputs to spans of the text."""
        sums = (sum(self.score(own, self.others(own, span.tokens)) for own in self.outputs) for span in spans)
        return Scale.of(sums, self.signed)

    def read_at(self, output: OutputDict) -> tuple[str, float]:
        """Name the token at which an output is read, and give its score."""
        place = output["place"] - 1
        return one_line(labels(self.whole)[place]), output["scores"][place]

    def name(self, output: OutputDict) -> str:
        """Write an output on one line."""
        return named(output["target"])

    def strongest(self, output: OutputDict, count: int = WORDS) -> list[tuple[str, float]]:
        """List the words that contributed most to an output, without the token at which it is read."""
        found = []
        for word in self.words:
            own = [place for place in self.others(output, word.tokens) if place < output["place"]]
            if own and (score := self.score(output, own)):
                found.append((named(self._written(word, own)), score))
        return sorted(found, key=lambda each: -abs(each[1]))[:count]

    def _written(self, word: Word, tokens: Sequence[int]) -> str:
        if len(tokens) == len(word.tokens):
            return word.text
        text = self.whole["text_pair"] if word.segment else self.whole["text"]
        first, last = (self.whole["tokens"][tokens[end]] for end in (0, -1))
        return (text or "")[first["start"] : last["end"]]

    def instead(self, output: OutputDict) -> str | None:
        """Name what the model holds more likely than an output, None if it is the output itself."""
        predicted = output["predicted"]
        return None if predicted == output["target"] else named(predicted)

    def said(self) -> str:
        """Say what is shown while no output is chosen."""
        count, unit = len(self.outputs), self.whole["method"]["unit"]
        p = self.whole["probabilities"].get(self.whole["target"])
        of = f"Sum over {count} output tokens" if count > 1 else "One output token"
        return f"{of} ({unit}){'' if p is None else f'; p of all together = {p:.3g}'}"


READ_AT = "Each output is read at the token before it, which is left out of the scale: it would outshine all others."


def render_generation_page(picture: Picture) -> str:
    """Draw a response as one page that needs nothing but itself."""
    values = {"shown": generation_values(picture), "script": script()}
    return document("generation.html.j2", "Narrows: what each output token rests on", values, script=script())


def render_generation_fragment(picture: Picture) -> str:
    """Draw a response for a notebook."""
    values = {"shown": generation_values(picture), "style": style_sheet(), "script": script()}
    return fill("generation_fragment.html.j2", values)


def generation_values(picture: Picture) -> Json:
    """Return what the templates need: the text in spans, and for each span that can be pointed at its levels."""
    whole = picture.whole
    texts, special = [cut(whole, segment) for segment in (0, 1)], unplaced(whole)
    shown = [span for span in (*texts[0], *texts[1], *special) if span.tokens]
    places = {output["place"]: output for output in picture.outputs}
    asked = {span.tokens: [places[place] for place in span.tokens if place in places] for span in shown}
    asked = {tokens: own for tokens, own in asked.items() if own}
    scale = picture.sum_scale(shown)
    numbers = {tokens: number for number, tokens in enumerate(asked)}
    before, after = caption.amount(0, whole["method"]["unit"]).split("0", 1)
    outputs = [_output(picture, own, shown) for own in asked.values()]
    listed = {
        name: list(_spans(picture, spans, numbers, scale))
        for name, spans in (("prompt", texts[0]), ("response", texts[1]), ("special", special))
    }
    mapped = map_values(whole)
    return {
        "whole": whole,
        "map": mapped,
        "long": mapped["long"],
        **listed,
        "said": picture.said(),
        "scale": scale,
        "outputs_json": json.dumps({"outputs": outputs, "before": before, "after": after}),
        "read_at": READ_AT,
        "notes": caption.unread(whole),
        "rises": all(output["rise"] is not None for output in picture.outputs),
        "rows": [_row(picture, output) for output in picture.outputs],
    }


def _output(picture: Picture, outputs: Sequence[OutputDict], shown: Sequence[Span]) -> Json:
    """Return what the script needs of one span of the response, on a scale of its own; later spans have no score."""
    row, first = [sum(picture.score(output, span.tokens) for output in outputs) for span in shown], outputs[0]["place"]
    compared = [sum(picture.score(own, picture.others(own, span.tokens)) for own in outputs) for span in shown]
    scale = Scale.of(compared, picture.signed)
    name = repr(" ".join(picture.name(output) for output in outputs))
    chances = ", ".join(f"{output['probability']:.3g}" for output in outputs if output["probability"] is not None)
    instead = picture.instead(outputs[0])
    more = f"; the model holds {instead!r} to be likelier" if instead else ""
    return {
        "name": name,
        "said": f"{name}{chances and f': p = {chances}'}{more}",
        "ends": scale.ends(),
        "levels": [scale.level(score) for score in row],
        "scores": [
            caption.number(score, scale.signed) if span.tokens[0] < first else ""
            for score, span in zip(row, shown, strict=True)
        ],
    }


def _spans(
    picture: Picture, spans: Sequence[Span], numbers: dict[tuple[int, ...], int], scale: Scale
) -> Iterator[Json]:
    """Return each span as the templates need it; one that no token covers has no place."""
    unit = picture.whole["method"]["unit"]
    for span in spans:
        output = numbers.get(span.tokens)
        blank = output is not None and not span.text.strip()
        name = named(span.text)
        yield {
            "text": span.text,
            "place": span.tokens[0] if span.tokens else None,
            "level": scale.level(span.score),
            "output": output,
            "mark": ("\u21b5" if "\n" in span.text else "\u2423") if blank else "",
            "name": name,
            "tip": f"{name}: {caption.amount(span.score, unit, scale.signed)}, summed over the outputs",
        }


def chance(p: float | None) -> str:
    """Write a probability for a table."""
    return "" if p is None else f"{p:.3f}" if p >= 0.0005 else f"{p:.0e}"


def _row(picture: Picture, output: OutputDict) -> Json:
    """Return a row of the table of outputs."""
    scale, p, rise = picture.word_scale, output["probability"], output["rise"]
    token, score = picture.read_at(output)
    return {
        "read": {"text": token, "score": caption.number(score, scale.signed)},
        "name": picture.name(output),
        "p": chance(p),
        "rise": "" if rise is None else caption.number(rise, True),
        "missed": "" if rise is None else caption.number(rise - sum(output["scores"]), True),
        "instead": picture.instead(output),
        "words": [
            {"text": text, "score": caption.number(score, scale.signed), "level": scale.level(score)}
            for text, score in picture.strongest(output)
        ],
    }
