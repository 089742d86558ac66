"""Ask a language model for the next token of prompts: on which of them is it right?

Only the logits of the last position are computed. Prompts of one length go through the model together, so that there is
no padding.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from records import Prompt
from transformers import AutoModelForCausalLM, AutoTokenizer

TOKENS_AT_ONCE = 2_048
PromptRow: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Reader:
    """A language model and its tokenizer."""

    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, folder: Path) -> Reader:
        """Load a folder; narrows reads with the same tokens, special ones included."""
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        return cls(model, AutoTokenizer.from_pretrained(folder))

    def ids(self, text: str) -> list[int]:
        """Tokenise a text."""
        return list(self.tokenizer(text)["input_ids"])

    @torch.inference_mode()
    def logits(self, texts: Sequence[Sequence[int]]) -> Iterator[tuple[int, torch.Tensor]]:
        """Compute the logits behind texts of token ids; yields the place of a text and (vocabulary,), the short first.

        Args:
            texts: Token ids.

        Yields:
            Place and logits.
        """
        by_length: dict[int, list[int]] = defaultdict(list)
        for place, ids in enumerate(texts):
            by_length[len(ids)].append(place)
        for length, places in sorted(by_length.items()):
            size = max(1, TOKENS_AT_ONCE // length)
            for at in range(0, len(places), size):
                chunk = places[at : at + size]
                inputs = torch.tensor([list(texts[place]) for place in chunk])
                answer = self.model(input_ids=inputs, use_cache=False, logits_to_keep=1).logits[:, -1].float()
                yield from zip(chunk, answer, strict=True)

    def read(self, prompts: Sequence[Prompt]) -> list[PromptRow]:
        """Ask for the next token of prompts, those left out whose answer and distractor cannot be told apart.

        Args:
            prompts: With answers.

        Returns:
            Their fields; the ids ``answer_id``, ``distractor_id`` and ``predicted_id``; the probabilities ``p`` of the
            answer and ``p_distractor``.
        """
        told = [parted for prompt in prompts if (parted := self.parted(prompt))]
        rows: list[PromptRow] = [{}] * len(told)
        began, texts = time.monotonic(), [self.ids(prompt.prompt) for prompt, _, _ in told]
        for done, (place, logits) in enumerate(self.logits(texts), start=1):
            prompt, answer, distractor = told[place]
            p = logits.softmax(dim=-1)
            found: PromptRow = {"answer_id": answer, "distractor_id": distractor, "predicted_id": int(logits.argmax())}
            found |= {"p": float(p[answer]), "p_distractor": float(p[distractor])}
            rows[place] = asdict(prompt) | found
            if done % 200 == 0:
                print(f"  {done} of {len(told)} prompts read, {time.monotonic() - began:.0f} s", flush=True)
        return rows

    def parted(self, prompt: Prompt) -> tuple[Prompt, int, int] | None:
        """Find the first token in which answer and distractor differ; what they share moves into the prompt.

        Args:
            prompt: Any.

        Returns:
            The prompt, the token of the answer and that of the distractor; None if the answer cannot be parted.
        """
        right, wrong = (self.ids(prompt.prompt + text) for text in (prompt.answer, prompt.distractor))
        shared = next((at for at, pair in enumerate(zip(right, wrong, strict=False)) if pair[0] != pair[1]), None)
        given = self.ids(prompt.prompt)
        if shared is None or right[: len(given)] != given:
            return None
        for moved in range(len(prompt.answer)):  # characters that both begin with: the space before a number
            text = prompt.prompt + prompt.answer[:moved]
            if self.ids(text) == right[:shared]:
                moved_prompt = replace(prompt, prompt=text, answer=prompt.answer[moved:])
                return moved_prompt, right[shared], wrong[shared]
        return None


def is_right(row: PromptRow) -> bool:
    """Tell whether a model gives the answer: of two verbs the more probable one, else its most probable token."""
    if row["kind"] == "agreement":
        return bool(row["p"] > row["p_distractor"])
    return bool(row["predicted_id"] == row["answer_id"])
