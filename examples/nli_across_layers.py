# %% [markdown]
# # A pair of sentences, layer by layer
#
# A natural-language-inference model says that two sentences contradict each other. Where, on the way through the
# network, does that come about? We put the bottleneck after every block in turn and see which tokens still have to
# pass. Run this file as a script (`python examples/nli_across_layers.py`), or cell by cell.

# %%
from __future__ import annotations

import sys
from pathlib import Path

from narrows import Attributions, Explainer

OUT = Path(sys.argv[1] if __name__ == "__main__" and len(sys.argv) > 1 else "out/examples")
PAIR = {
    "text": "A tired nurse sleeps on a bench outside the hospital.",
    "text_pair": "The nurse is wide awake.",
}

# %% [markdown]
# ## One label, all layers
#
# The labels are found by name. `across_layers` gives one result per layer, 0 being the embeddings; together they show
# themselves as one picture, tokens by layers.


# %%
def explain(label: str) -> Attributions:
    """The pair at every layer, for one label."""
    return Explainer.from_pretrained("nli", method="information").across_layers(PAIR, target=label)


# %% [markdown]
# ## Where does the information sit?
#
# Early on the words that clash have to pass; towards the end the model has gathered what it needs in the special token
# that its head reads. The share of the special tokens shows how far that has gone.


# %%
def special_shares(layers: Attributions) -> list[float]:
    """Share of all bits that special tokens hold, 0 to 1, layer by layer."""
    shares = []
    for result in layers:
        special = sum(bits for bits, own in zip(result.scores, result.special, strict=True) if own)
        total = float(result.scores.sum())
        shares.append(float(special) / total if total else 0.0)
    return shares


# %%
def main() -> None:
    """Explain the pair at every layer; pictures go to OUT."""
    OUT.mkdir(parents=True, exist_ok=True)
    layers = explain("contradiction")
    first = layers[0]
    print(f"predicted: {first.predicted}, p(contradiction) = {first.probabilities['contradiction']:.3f}\n")
    layers.show()
    for layer, share in enumerate(special_shares(layers)):
        strongest = max(layers[layer].words(), key=lambda word: word.score)
        print(f"layer {layer}: special tokens hold {share:4.0%} of the bits; the strongest word is {strongest.text!r}")
    layers.export(OUT / "layers.svg")
    layers.export(OUT / "layers.html")
    print(f"\nPictures: {OUT / 'layers.svg'}, {OUT / 'layers.html'}")


if __name__ == "__main__":
    main()
