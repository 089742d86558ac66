"""What an attribution method has to beat: chance, and the size of what one block adds."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from narrows.config import PAPER_DEPTH
from narrows.errors import LayerError
from narrows.methods.method import Batch, Method, Scores, text_generator
from narrows.models.cut.blocks import check_layer
from narrows.models.cut.network import Network
from narrows.models.cut.split import borrowed, run_prefix
from narrows.models.hub.loading import Classifier
from narrows.models.memory import TokenBudget
from narrows.models.padding import run_in_batches
from narrows.models.predict import BATCH_SIZE, BATCH_TOKENS
from narrows.models.text.encoding import collate, padding_id


def random_scores(seed: int = 0) -> Method:
    """Score every token by chance, uniformly from 0 to 1.

    Args:
        seed: Of what is drawn; each text draws from its own.

    Returns:
        The method.
    """

    def explain(classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
        return [
            text_generator(seed, example).random(len(encoding))
            for example, encoding in zip(batch.examples, batch.encodings, strict=True)
        ]

    return explain


def update_norm(layer: int | None = None) -> Method:
    """Score a token by how far one block moves its activation, whatever the prediction is.

        score_t = |h_l,t - h_(l-1),t|, the L2 norm over features

    This is what the bottleneck of the authors' released code gates: T = lambda h_l + (1 - lambda) (h_(l-1) + noise of
    deviation 0.003). A map of that bottleneck that is no better than this norm owes nothing to its optimisation.

    Args:
        layer: The block l, from 1; None = the one at three quarters of the blocks.

    Returns:
        The method. Its scores have no sign, and the same for every target.
    """

    def explain(classifier: Classifier, batch: Batch, targets: Sequence[int]) -> list[Scores]:
        model = classifier.model
        network = Network.of(model)
        place = _block(layer, len(network.blocks))
        padding = padding_id(model, classifier.tokenizer)
        lengths = [len(encoding) for encoding in batch.encodings]
        scores: dict[int, Scores] = {}
        reader = (model, classifier.tokenizer)

        def moves(rows: list[int]) -> Scores:
            inputs = collate([batch.encodings[row] for row in rows], padding, model.device)
            activations = run_prefix(network, inputs, [place - 1, place]).activations
            update = activations[place].cpu().double() - activations[place - 1].cpu().double()
            norms: Scores = torch.linalg.vector_norm(update, dim=-1).numpy()
            return norms

        with torch.inference_mode(), borrowed(model, padding):
            for rows, norms in run_in_batches(reader, TokenBudget(BATCH_TOKENS), lengths, BATCH_SIZE, moves):
                scores |= {row: own[: lengths[row]].copy() for row, own in zip(rows, norms, strict=True)}
        return [scores[row] for row in range(len(batch))]

    return explain


def _block(layer: int | None, blocks: int) -> int:
    """Choose the block: the one that is asked for, or the default, which is never layer 0."""
    if layer is None:
        return max(round(PAPER_DEPTH * blocks), 1)
    chosen = check_layer(layer, blocks)
    if chosen == 0:
        raise LayerError(f"update_norm needs a layer before: choose layer 1 to {blocks}")
    return chosen
