"""Write docs/models.md from the matrix that the tests run: what works with which models, and what is refused.

Run by ``make models-page``; a test fails while the page and the matrix differ.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from families import FAMILIES, REFUSALS, TASKS, Family  # noqa: E402 - found by the line above

PAGE = ROOT / "docs" / "models.md"

HEAD = """\
# Models

<!-- written by docs/write_models.py from tests/support/families.py: change the matrix, then run make models-page -->

These architectures are tested, each with a tiny random model that the tests build. Others are recognised by their
structure ([how](explanation/method.md#how-the-blocks-are-found)).

For every layer, and for each implementation of attention named in the table, the tests check three things. The part of
the model after the bottleneck gives the model's own logits to 1e-5. Nothing of the text gets past the bottleneck. A
text gets the same map alone, in a batch, and with a tokenizer that pads on the left or on the right. Unless the remark
says otherwise, this is repeated in bfloat16. `make test-oldest` checks the same with transformers 5.0.0, the oldest
supported version, which does not have EuroBERT yet.

Two checks are made on every model at its first use: that nothing gets past the bottleneck, and whether padding changes
its predictions. If it does, only texts of one length share a batch (column "batches").
"""

TWO_STACKS = """\
Where a decoder reads the text once more (T5, BART), encoder and decoder are both cut. Layers count through both stacks.
Up to the last block of the encoder, the bottleneck stands in the encoder and on the decoder's input; after that, on the
encoder's output and in the decoder. A token has one mask for both, and its score is the sum of both.
"""

TASK_HEAD = """\
## Tasks

`target` says what to explain. None stands for what the model predicts. Import `Contrast`, `Distribution`, `Tag`,
`Answer` and `Blank` from `narrows`.
"""

REFUSED_HEAD = """\
## Refused

These models are refused with one line that says why; no map is made:
"""

ELSEWHERE = """\
Also refused: encoder-decoder models that generate (`ForConditionalGeneration`), whose targets are not defined yet;
tokenizers without offsets; offloaded weights. Any other torch module can be explained by
`LayerInformationBottleneck`, in captum's conventions.
"""


def write_row(row: Family) -> str:
    """Write one family as a row of the table.

    Args:
        row: The family.

    Returns:
        A line of Markdown.
    """
    batches = "of one length" if row.sees_padding else "any"
    cells = [row.name, f"`{row.model_class}`", row.kind, ", ".join(row.attention), batches, row.remark]
    return f"| {' | '.join(cells)} |"


def render() -> str:
    """Render the page.

    Returns:
        Markdown.
    """
    lines = [
        HEAD,
        "## Families\n",
        "| family | classifier tested | blocks | attention | batches | remark |",
        "|" + "---|" * 6,
    ]
    lines += [write_row(row) for row in FAMILIES]
    lines += ["", TWO_STACKS, TASK_HEAD, "| task | target | tested on |", "|---|---|---|"]
    for name in dict.fromkeys(row.name for row in TASKS):
        rows = [row for row in TASKS if row.name == name]
        tested = ", ".join(f"`{row.stem}{row.head}`" for row in rows)
        lines.append(f"| {name} | {rows[0].target} | {tested} |")
    lines += ["", REFUSED_HEAD, "| model | class | because |", "|---|---|---|"]
    lines += [f"| {row.name} | `{row.stem}ForSequenceClassification` | {row.because} |" for row in REFUSALS]
    return "\n".join([*lines, "", ELSEWHERE])


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
