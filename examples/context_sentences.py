# %% [markdown]
# # Which sentence of the context was used?
#
# A language model gets a few sentences and a question, and answers from one of them. Which one? Scores of single tokens
# are the wrong size for that question: here a whole sentence is masked, ranked and summed up as one, and then a whole
# document. Run this file as a script (`python examples/context_sentences.py [MODEL] [FOLDER]`), or cell by cell in an
# editor that knows `# %%`. MODEL is a causal language model: a name, an id on the Hub or a folder; without one it is
# the demo model `lm`. Sentences need `pip install "narrows[units]"`.

# %%
from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from narrows import Attribution, Explainer
from narrows.data.units import sentences

GIVEN = sys.argv[1:] if __name__ == "__main__" else []
MODEL = GIVEN[0] if GIVEN else "lm"
OUT = Path(GIVEN[1] if len(GIVEN) > 1 else "out/examples")

CONTEXT = (
    "The old lighthouse stands on a cliff above the village. It was painted green in 1932. "
    "The keeper of the lighthouse was called Martha. Every morning she fed the gulls. "
    "The village has one bakery and two small hotels."
)
QUESTION = "Question: What was the name of the keeper?\nAnswer: The name of the keeper was"
ANSWER = " Martha"

# %% [markdown]
# ## Sentences
#
# `unit_of="sentence"` would make every sentence of the prompt one unit, the question too. We ask about the context
# alone, so we give its sentences as spans of characters. What stands outside of the spans, here the question, has
# scores of its own, but it is never removed. `Attribution.units` has the units in reading order, each with the sum of
# its tokens' scores and its rank.


# %%
def explain_sentences(explainer: Explainer) -> Attribution:
    """The answer, by the sentences of the context."""
    return explainer(f"{CONTEXT}\n{QUESTION}", target=ANSWER, unit_of=sentences(CONTEXT))


# %% [markdown]
# ## Documents
#
# A retriever found some documents, and the prompt joins them. Spans say where each of them is, and each becomes one
# unit; the headings and the question are outside.

# %%
DOCUMENTS = (
    "Bakeries. The village has one bakery. It opens at six.",
    "The lighthouse. It stands on a cliff. The keeper of the lighthouse was called Martha.",
    "Hotels. There are two small hotels near the harbour.",
)


def join(documents: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The documents one below the other, and where each of them is in that text."""
    text, spans = "", []
    for number, document in enumerate(documents, 1):
        text += f"Document {number}: "
        spans.append((len(text), len(text) + len(document)))
        text += f"{document}\n"
    return text, spans


def explain_documents(explainer: Explainer) -> Attribution:
    """The answer, by the documents of the context."""
    text, spans = join(DOCUMENTS)
    return explainer(text + QUESTION, target=ANSWER, unit_of=spans)


# %% [markdown]
# ## The ranking
#
# Units are ranked by the order in which the method would have them removed.


# %%
def print_units(attribution: Attribution) -> None:
    """The units, the first to be removed first; one that the model did not read has no rank."""
    read = [unit for unit in attribution.units if unit.rank is not None]
    for unit in sorted(read, key=lambda unit: unit.rank or 0):
        print(f"{unit.rank:4}. {unit.score:+7.2f} {attribution.unit}  {' '.join(unit.text.split())}")


# %%
def main() -> None:
    """Explain one answer by sentences and by documents; pictures go to OUT."""
    OUT.mkdir(parents=True, exist_ok=True)
    explainer = Explainer.from_pretrained(MODEL, method="best")
    for name, found in (("sentences", explain_sentences(explainer)), ("documents", explain_documents(explainer))):
        print(f"Which of the {name} made the model say {ANSWER.strip()!r}?")
        print_units(found)
        found.export(OUT / f"{name}.html")
        found.export(OUT / f"{name}.svg")
        print(f"Pictures: {OUT / f'{name}.html'}, {OUT / f'{name}.svg'}\n")


if __name__ == "__main__":
    main()
