"""LIME by its authors' package: it gets a string of the words' numbers, since its own words fit no tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from narrows.attribution import Attribution
from narrows.data.example import Example
from narrows.data.units import by_score
from narrows.data.words import group_tokens
from narrows.methods.captum import load
from narrows.methods.method import Batch, Names, Scores, Unit, in_rows
from narrows.methods.perturbation import Removing, find_removable, predict_present
from narrows.models.text.encoding import Encoding
from narrows.models.text.removal import Removal

PACKAGE = "lime.lime_text"


@dataclass(frozen=True)
class Lime(Removing):
    """LIME for text (Ribeiro et al., KDD 2016): a ridge regression to p(target), one feature per word at its place."""

    samples: Annotated[int, "Perturbed texts per text, the whole one among them."] = 100
    removal: Annotated[Removal, "How the tokens of a word are removed."] = "delete"
    seed: Annotated[int, "Of the perturbed texts; each text draws from its own."] = 0

    names: ClassVar[Names] = {"lime": {}}
    label, unit = "LIME", "weight"
    caption = "A word's score is its weight in a linear model of p(target) around the text; its tokens share it."

    def __post_init__(self) -> None:
        super().__post_init__()
        load(PACKAGE)

    @property
    def how(self) -> str:
        """How many perturbed texts there were."""
        return f"A ridge regression on {self.samples} perturbed texts; words removed by: {self.removal}."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Explain one text after the other."""
        scores, rankings = [], []
        for row in range(len(batch)):
            text = batch.take([row])
            words, weights = self._weigh(text)
            (own,) = in_rows(text, [words], [weights])
            scores.append(own)
            by_word = np.zeros(len(own))  # a long word is not ranked lower for being cut into more tokens
            for word, weight in zip(words, weights, strict=True):
                by_word[list(word)] = weight
            (question,) = text.questions
            rankings.append(by_score(by_word, question.encoding.segments) if question.places is None else None)
        return batch.attributions(self, scores, rankings=rankings)

    def _weigh(self, text: Batch) -> tuple[Sequence[Unit], Scores]:
        """Weigh the words, or units, of a batch of one text."""
        encoding, units = text.encodings[0], find_removable(text, self.removal)
        asked = text.questions[0].places is not None
        words = units[0] if asked else _words(text.examples[0], encoding, [place for (place,) in units[0]])
        if not words:
            return [], np.zeros(0)
        random_state = int(text.generator(self.seed, 0).integers(2**31))
        explainer = load(PACKAGE).LimeTextExplainer(feature_selection="none", random_state=random_state)
        numbers, predictor = " ".join(map(str, range(len(words)))), _predictor(text, words, units[0], self.removal)
        options = {"labels": (1,), "num_features": len(words), "num_samples": self.samples}
        explanation = explainer.explain_instance(numbers, predictor, **options)
        return words, np.array([weight for _, weight in sorted(explanation.local_exp[1])])


def _predictor(text: Batch, words: Sequence[Unit], units: Sequence[Unit], removal: Removal) -> Any:
    """Make the function that the package calls: from perturbed strings to not target and target, (strings, 2)."""
    firsts = [unit[0] for unit in units]

    def probabilities(strings: Sequence[str]) -> Scores:
        present = np.zeros((len(strings), len(text.encodings[0])), dtype=np.bool_)
        for row, string in enumerate(strings):
            for word in string.split():
                present[row, list(words[int(word)])] = True
        p = predict_present(text, [0] * len(strings), present[:, firsts], removal)
        return np.stack([1 - p, p], axis=1)

    return probabilities


def _words(example: Example, encoding: Encoding, tokens: Sequence[int]) -> list[list[int]]:
    """List the tokens of each word, of those that can be removed, text by text of a pair."""
    words: list[list[int]] = []
    for segment, text in enumerate((example.text, example.text_pair)):
        own = [position for position, of in enumerate(encoding.segments) if of == segment]
        spans = [span for position in own if (span := encoding.offsets[position]) is not None]
        words += [[own[token] for token in word] for word in group_tokens(text or "", spans)]
    removed = [[token for token in word if token in tokens] for word in words]
    return [word for word in removed if word]
