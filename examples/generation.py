# %% [markdown]
# # What each word of an answer rests on
#
# A language model is asked where somebody lives, and answers. Which words of the question did it read to get there?
# Run this file as a script (`python examples/generation.py [MODEL] [FOLDER]`), or cell by cell in an editor that knows
# `# %%`. MODEL is a causal language model: a name, an id on the Hub or a folder; without one it is the demo model `lm`.

# %%
from __future__ import annotations

import sys
from pathlib import Path

from narrows import Contrast, Explainer, GenerationAttribution

GIVEN = sys.argv[1:] if __name__ == "__main__" else []
MODEL = GIVEN[0] if GIVEN else "lm"
OUT = Path(GIVEN[1] if len(GIVEN) > 1 else "out/examples")

PROMPT = "Anna lives in Paris. Peter lives in London. Maria lives in Rome. Peter lives in"

# %% [markdown]
# ## Let the model write, and explain what it wrote
#
# The result has a row for each output token: what every token before it contributed, prompt and earlier outputs alike.
# A token cannot see what comes after it, so these scores are exactly 0.


# %%
def written(explainer: Explainer) -> GenerationAttribution:
    """Six tokens behind the prompt, each explained."""
    found = explainer.generate(PROMPT, max_new_tokens=6)
    found.show()
    return found


# %% [markdown]
# ## One output by itself
#
# An item of the result is an ordinary attribution, with every picture of one map.


# %%
def strongest_words(found: GenerationAttribution, count: int = 3) -> list[str]:
    """The words that contributed most to the first output."""
    return [word.text for word in sorted(found[0].words(), key=lambda word: -abs(word.score))[:count]]


# %% [markdown]
# ## An answer that was not given
#
# The response need not be the model's own. Here two are held against each other: what speaks for one city rather than
# for another?


# %%
def rather(explainer: Explainer, first: str, second: str) -> str:
    """The word that speaks most for the first continuation, against the second."""
    found = explainer(PROMPT, target=Contrast(first, second))
    return max(found.words(), key=lambda word: word.score).text


# %%
def main() -> None:
    """Write, explain, compare; pictures go to OUT."""
    OUT.mkdir(parents=True, exist_ok=True)
    explainer = Explainer.from_pretrained(MODEL)
    found = written(explainer)
    print(f"\nThe first output, {found[0].target!r}, rests most on: {', '.join(strongest_words(found))}.")
    for_london = rather(explainer, " London, in England", " Rome, in Italy")
    print(f"{for_london!r} speaks most for London rather than Rome.")
    found.export(OUT / "generation.html")
    found.export(OUT / "generation.svg")
    found.save(OUT / "generation.json")
    print(f"Pictures: {OUT / 'generation.html'}, {OUT / 'generation.svg'}; numbers: {OUT / 'generation.json'}")


if __name__ == "__main__":
    main()
