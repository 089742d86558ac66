"""A response explained token by token: every output token is a question of its own about all tokens before it.

Any method answers these questions one by one. `Evidence` answers them together: no token of a causal language model
sees later ones, so that one pass forward per step serves all outputs, each of which then has its own pass backward.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from narrows.attribution import Attribution
from narrows.bottleneck.channel import NATS_PER_BIT
from narrows.bottleneck.path import look_for_each
from narrows.data.example import Example, Item
from narrows.errors import InputError, TargetError, shown, strict
from narrows.generation import GenerationAttribution
from narrows.methods.batches import explain_in_batches
from narrows.methods.cut_model import CutModel
from narrows.methods.evidence import Evidence
from narrows.methods.method import Batch, Method, average
from narrows.methods.registry import changed
from narrows.models.generating import check_options, generate_ids
from narrows.models.heads.continuation import Continuation, append
from narrows.models.heads.goals import At, Each, OneOf
from narrows.models.heads.task import Question, Resolved
from narrows.models.memory import TokenBudget
from narrows.models.text.encoding import Encoding, take
from narrows.models.text.reader import Reader

# Nothing is masked or left out, and there is neither curve nor feature map.
ONCE = {"iterations": 1, "leave_out": False, "draws": 0, "features": False}


@dataclass(frozen=True)
class Response:
    """A prompt with a response."""

    example: Example  # the prompt as text, the response as text_pair
    encoding: Encoding  # the tokens of both
    start: int  # position of the first token of the response

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, question: Question) -> "Response":
        """Take the response from a question whose target is a continuation, all of which but the last token is read."""
        found = question.target
        if not isinstance(found, Continuation):
            raise TargetError(f"a response is text or token ids, not {shown(found)}")
        start = len(question.encoding) - len(found.ids) + 1
        encoding = append(tokenizer, take(question.encoding, range(start)), found, len(found.ids))
        text = found.text if found.text.strip() else "".join(encoding.tokens[start:])  # no text is blank
        return cls(replace(question.example, text_pair=text), encoding, start)

    @property
    def ids(self) -> list[int]:
        """The tokens of the response."""
        return self.encoding.features["input_ids"][self.start :]

    def before(self, place: int) -> Encoding:
        """Take the tokens before a place."""
        return take(self.encoding, range(place))

    def questions(self) -> list[Question]:
        """Ask for each token of the response, given all tokens before it."""
        return [
            Question(self.example, self.before(place), token) for place, token in enumerate(self.ids, start=self.start)
        ]

    def together(self) -> Question:
        """Ask for all tokens of the response at once; nothing is predicted from the last one."""
        ids, text = tuple(self.ids), self.example.text_pair or ""
        return Question(self.example, self.before(len(self.encoding) - 1), Continuation(ids, text, ""))


def write_response(model: CutModel, reader: Reader, prompt: Item, most: int, options: Any) -> list[int]:
    """Let the model write behind a prompt: at most so many tokens, by options of transformers.GenerationConfig."""
    given = check_options(options)
    (question,) = reader.ask(prompt, None).questions
    ids = question.encoding.features["input_ids"]
    if reader.limit is not None and len(ids) + most > reader.limit:
        raise InputError(f"{len(ids)} tokens of prompt and {most} new ones, but the model takes {reader.limit}")
    with model.lent() as cut:
        found = generate_ids(cut.model, ids, most, cut.padding, given)
    if not found:
        raise InputError(f"the model writes nothing behind {question.example.text[-30:]!r}: it ends the text")
    return found


def explain_response(
    model: CutModel, budget: TokenBudget, method: Method, response: Response, batch_size: int
) -> GenerationAttribution:
    """Explain each token of a response, by shared passes where that gives the same."""
    method = in_one_iteration(method)
    explained = None
    # What is taken from the text itself differs from output to output: then nothing can be shared.
    if isinstance(method, Evidence) and not model.find_prior(method.prior).per_text:
        explained = explain_together(model, budget, method, response)
    if explained is None:
        questions = response.questions()
        found = strict(explain_in_batches(model, budget, questions, [method], batch_size))
        explained = [own for (own,) in found]
    return GenerationAttribution.of(explained, response.encoding, response.start)


def in_one_iteration(method: Method) -> Method:
    """Let `Evidence` measure once: a generation is explained with nothing masked or left out."""
    return changed(method, ONCE) if isinstance(method, Evidence) else method


def explain_together(
    model: CutModel, budget: TokenBudget, method: Evidence, response: Response
) -> list[Attribution] | None:
    """Explain all tokens of a response by passes that they share; None if tokens of this model see later ones."""
    questions, start = response.questions(), response.start
    with model.lent() as cut:
        goals = tuple(At(place, OneOf(token)) for place, token in enumerate(response.ids))
        batch = Batch(cut, [response.together()], [Resolved(Each(goals), "", "", {})], budget)  # a number per output
        prior = cut.find_prior(method.prior)
        method = method.fitted(prior)
        layers = method.layers_in(cut, prior)
        sites = batch.sites(layers, prior)
        scores = average([method.follow(look_for_each, batch, site).evidence for site in sites])[0]  # (outputs, tokens)
        if any(scores[row, start + row :].any() for row in range(len(questions))):
            return None
        typical = torch.stack([batch.typical_odds(site, prior)[0] for site in sites])  # (sites, outputs)
        rise = (batch.log_odds[0] - typical).mean(dim=0) / NATS_PER_BIT
        made = []
        for row, question in enumerate(questions):
            extra: dict[str, Any] = {"typical": float(typical[:, row].sigmoid().mean())}
            extra |= {"rise": float(rise[row])} if method.additive else {}
            own = Batch(cut, [question], [cut.task.resolve(question, batch.logits[0, row].unsqueeze(0))])
            seen = scores[None, row, : len(question.encoding)]
            made += own.attributions(method, seen, layers=layers, prior=prior, extras=[extra])
    return made
