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

Each row is a tiny random model of that architecture which the tests build from its configuration. For every layer and
each implementation of attention named they check that the model after the bottleneck gives the model's own logits to
1e-5, that nothing of the text gets past the bottleneck, and that a text gets the same map alone, in a batch, and with a
tokenizer that pads on the left or on the right; once more in bfloat16, but where the remark says otherwise.
`make test-oldest` checks the same with transformers 5.0.0, the oldest supported, which does not have EuroBERT yet.

A model that is not here is found by its structure, too ([the method](explanation/method.md#how-the-blocks-are-found)),
and the two checks that can be made on any model are made at its first use: that nothing gets past the bottleneck, and
whether padding changes its predictions; if so, only texts of one length share a batch.
"""

TWO_STACKS = """\
An encoder whose decoder reads the text once more (T5, BART) is cut in both. Its layers count through both stacks: up to
the last block of the encoder the bottleneck stands there and on the decoder's input, after that on the encoder's output
and in the decoder. A token has one mask for both sides, and its bits are those of both together.
"""

TASK_HEAD = """\
## Tasks

`target` says what to explain; `Contrast`, `Distribution`, `Tag`, `Answer` and `Blank` are names of `narrows`. None is
what the model predicts.
"""

REFUSED_HEAD = """\
## Refused

In one line that says why, never with a wrong map:
"""

ELSEWHERE = """\
Also refused: models that generate from an encoder (`ForConditionalGeneration`), whose targets are not defined yet;
tokenizers without offsets; weights that are offloaded. Any other module of torch can be explained by
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
