"""Twenty sentences of our own on the bundled sentiment model: does the map point where a reader would?

The sentences and the words were written down before the model was trained, and are not tuned one by one. For a sentence
that says two things, the word depends on which of them the model goes by. docs/explanation/defaults.md has the score.
"""

from __future__ import annotations

import re

import pytest

from narrows import Attribution, Explainer

POINTED_AT: dict[str, dict[str, set[str]]] = {
    "A gorgeous, witty film.": {"positive": {"gorgeous", "witty"}},
    "The plot is thin, but the acting is superb.": {"positive": {"superb"}, "negative": {"thin"}},
    "I hated every minute of it.": {"negative": {"hated"}},
    "What a waste of a talented cast.": {"negative": {"waste"}, "positive": {"talented"}},
    "An absolutely delightful comedy.": {"positive": {"delightful"}},
    "The story is boring and goes nowhere.": {"negative": {"boring", "nowhere"}},
    "She gives a brilliant performance.": {"positive": {"brilliant"}},
    "This is the worst sequel of the year.": {"negative": {"worst"}},
    "The jokes are stale.": {"negative": {"stale"}},
    "A moving portrait of a family.": {"positive": {"moving"}},
    "The dialogue feels clumsy.": {"negative": {"clumsy"}},
    "It is a charming little movie.": {"positive": {"charming"}},
    "The ending was a huge disappointment.": {"negative": {"disappointment"}},
    "I loved the way it was filmed.": {"positive": {"loved"}},
    "The pacing is dreadful.": {"negative": {"dreadful"}},
    "An unforgettable journey through the desert.": {"positive": {"unforgettable"}},
    "The lead actor is wooden throughout.": {"negative": {"wooden"}},
    "Their chemistry is wonderful.": {"positive": {"wonderful"}},
    "The script is a mess.": {"negative": {"mess"}},
    "It is a dull film about a fascinating man.": {"negative": {"dull"}, "positive": {"fascinating"}},
}
NEEDED = 16


def strongest_word(attribution: Attribution) -> str:
    """The word that is ranked first, punctuation aside."""
    words = [word for word in attribution.words() if re.search(r"\w", word.text)]
    return min(words, key=lambda word: word.rank).text.casefold()


@pytest.mark.slow
def test_the_strongest_word_is_the_one_that_a_reader_points_at_in_sixteen_of_twenty_sentences() -> None:
    explainer = Explainer.from_pretrained("sentiment")
    missed = []
    for attribution in explainer(list(POINTED_AT)):
        expected = POINTED_AT[attribution.text].get(attribution.predicted, set())
        if strongest_word(attribution) not in expected:
            missed.append((attribution.text, attribution.predicted, strongest_word(attribution)))
    print(f"{len(POINTED_AT) - len(missed)} of {len(POINTED_AT)} as a reader would point; missed: {missed}")
    assert len(POINTED_AT) - len(missed) >= NEEDED, missed
