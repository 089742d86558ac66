"""LIME, computed by the package of its authors: a linear model of p(target) around the text, one weight per word.

The package cuts strings into words by itself, which fits no tokenizer. It is therefore given a stand-in, a string of
the numbers of the words, and each of its perturbed strings is read back as "these words are there".
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.data.example import Example
from narrows.data.words import group_tokens
from narrows.errors import DependencyError
from narrows.methods.method import Batch, Method, Scores, content_positions, text_generator
from narrows.methods.perturbation import check_options, predict_present
from narrows.models.hub.loading import Classifier
from narrows.models.text.encoding import Encoding
from narrows.models.text.removal import Removal, check_removal


def lime(samples: int = 100, removal: Removal = "delete", seed: int = 0) -> Method:
    """Explain with LIME (Ribeiro et al., "Why Should I Trust You?", KDD 2016) for text.

    Words are removed at random and a ridge regression is fitted to p(target), near texts weighing more, with the
    package's own kernel. Every word at every place is a feature of its own, also of the second text of a pair, and all
    features are kept.

    Args:
        samples: Perturbed texts per text, the whole one among them.
        removal: How the tokens of a word are taken away: ``delete``, ``mask`` or ``attention``.
        seed: Of what is drawn; each text draws from its own.

    Returns:
        The method. Its scores are probabilities: the weight of a token's word; special tokens get 0.

    Raises:
        InputError: If an option is out of its range; later, if the tokenizer has no mask token.
        DependencyError: If the package is missing.
    """
    check_options(removal, samples)
    package = _lime_text()

    def explain(classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
        check_removal(removal, classifier.tokenizer)
        scores = []
        for row, target in enumerate(targets):
            text = batch.take([row])
            example, encoding = text.examples[0], text.encodings[0]
            words = _words(example, encoding)
            explainer = package.LimeTextExplainer(
                feature_selection="none", random_state=int(text_generator(seed, example).integers(2**31))
            )
            explanation = explainer.explain_instance(
                " ".join(map(str, range(len(words)))),
                _predictor(classifier, text, words, removal),
                labels=(target,),
                num_features=len(words),
                num_samples=samples,
            )
            own = np.zeros(len(encoding))
            for word, weight in explanation.local_exp[target]:
                own[words[word]] = weight
            scores.append(own)
        return scores

    return explain


def _predictor(classifier: Classifier, text: Batch, words: Sequence[Sequence[int]], removal: Removal) -> Any:
    """Make the function that the package asks: from perturbed strings to probabilities, (strings, classes)."""
    encoding = text.encodings[0]
    content = content_positions(encoding)

    def probabilities(strings: Sequence[str]) -> NDArray[np.float64]:
        present = np.zeros((len(strings), len(encoding)), dtype=np.bool_)
        for row, string in enumerate(strings):
            for word in string.split():
                present[row, words[int(word)]] = True
        return predict_present(classifier, text, [0] * len(strings), present[:, content], removal)

    return probabilities


def _words(example: Example, encoding: Encoding) -> list[list[int]]:
    """List the tokens of each word, text by text of a pair."""
    words: list[list[int]] = []
    for segment, text in enumerate((example.text, example.text_pair)):
        own = [position for position, of in enumerate(encoding.segments) if of == segment]
        spans = [span for position in own if (span := encoding.offsets[position]) is not None]
        words += [[own[token] for token in word] for word in group_tokens(text or "", spans)]
    return words


def _lime_text() -> Any:
    try:
        return import_module("lime.lime_text")
    except ImportError as error:
        raise DependencyError('lime needs the package lime: pip install "narrows[evaluate]"') from error
