# %% [markdown]
# # A mistake of a sentiment model, found and explained
#
# Fifteen sentences of reviews, made to say one thing and to sound like another. Which does the model get wrong, and
# what did it read to get there? Run this file as a script (`python examples/sentiment_mistake.py`), or cell by cell in
# an editor that knows `# %%`.

# %%
from __future__ import annotations

import sys
from pathlib import Path

from narrows import Attribution, Attributions, Example, Explainer

OUT = Path(sys.argv[1] if __name__ == "__main__" and len(sys.argv) > 1 else "out/examples")

SENTENCES = [
    ("You would have to be dead inside not to laugh at this.", "positive"),
    ("I expected to be bored and could not have been more wrong.", "positive"),
    ("Not a single scene is wasted.", "positive"),
    ("It is impossible to look away.", "positive"),
    ("The only bad thing about this film is that it ends.", "positive"),
    ("A terrible crime, told without one false note.", "positive"),
    ("Nothing about the war is spared us, and nothing should be.", "positive"),
    ("I wish I had spent the evening with a good book instead.", "negative"),
    ("The trailer was great.", "negative"),
    ("A beautiful cast in search of a script.", "negative"),
    ("It could have been a masterpiece.", "negative"),
    ("Somewhere in there is a good film, and I would love to see it one day.", "negative"),
    ("If you enjoy watching paint dry, this is the film for you.", "negative"),
    ("The best part was the popcorn.", "negative"),
    ("A perfect cure for insomnia.", "negative"),
]

# %% [markdown]
# ## Find the mistakes
#
# A list of texts gives a list of results; in a notebook it shows itself.


# %%
def find_mistakes(explainer: Explainer) -> Attributions:
    """Explain all sentences and keep those whose prediction is not the label that a reader gives."""
    results = explainer([Example(text, label=label) for text, label in SENTENCES])
    gold = dict(SENTENCES)
    return Attributions(result for result in results if result.predicted != gold[result.text])


# %% [markdown]
# ## What did the model read?
#
# A token's evidence is signed: above 0 it speaks for the label. We take the mistake that the model is most sure of.


# %%
def surest(mistakes: Attributions) -> Attribution:
    """The mistake with the highest probability."""
    return max(mistakes, key=lambda result: result.probabilities[result.predicted])


# %% [markdown]
# ## Does the map tell the truth?
#
# The check is the degradation test by hand: without the word that the map blames, does the prediction move?


# %%
def without(text: str, word: str) -> str:
    """The sentence without the first occurrence of a word."""
    return " ".join(text.replace(word, "", 1).split())


# %%
def main() -> None:
    """Find, explain, check; pictures go to OUT."""
    OUT.mkdir(parents=True, exist_ok=True)
    explainer = Explainer.from_pretrained("sentiment")
    mistakes = find_mistakes(explainer)
    print(f"{len(mistakes)} of {len(SENTENCES)} sentences are read wrong.\n")
    worst = surest(mistakes)
    worst.show()
    blamed = min(worst.words(), key=lambda word: word.rank)
    shorter = without(worst.text, blamed.text)
    again = explainer(shorter, target=worst.predicted)
    before, after = (result.probabilities[worst.predicted] for result in (worst, again))
    print(f"\nThe map blames {blamed.text!r}. Without it: {shorter!r}")
    print(f"p({worst.predicted}) goes from {before:.3f} to {after:.3f}.")
    mistakes.export(OUT / "mistakes.html")
    worst.export(OUT / "mistake.svg")
    print(f"Pictures: {OUT / 'mistakes.html'}, {OUT / 'mistake.svg'}")


if __name__ == "__main__":
    main()
