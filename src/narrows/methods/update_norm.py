"""Update norm: how far one block moves a token, whatever the prediction is."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from narrows.attribution import Attribution
from narrows.errors import LayerError
from narrows.methods.cut_model import DEPTH
from narrows.methods.method import Batch, Names
from narrows.models.cut.blocks import check_layer


@dataclass(frozen=True)
class UpdateNorm:
    """The L2 norm of what one block adds to a token, |h_l,t - h_(l-1),t|: what the released code's bottleneck gates."""

    layer: Annotated[int | None, "The block, from 1; none: the one at three quarters of them."] = None

    names: ClassVar[Names] = {"update_norm": {}}
    label, quantity, unit, signed, additive, copies = "update norm", "score", "score", False, False, 1
    caption = "A token's score is how far one block moves its activation, whatever the prediction is."
    first_layer = 1
    how = "The L2 norm of the difference between the block's output and its input."

    def explain(self, batch: Batch) -> list[Attribution]:
        """Compare two layers of one plain run."""
        usual = max(math.ceil(DEPTH * batch.cut.blocks), 1)
        place = check_layer(usual if self.layer is None else self.layer, batch.cut.blocks)
        if place == 0:
            raise LayerError(f"update_norm needs a layer before: choose layer 1 to {batch.cut.blocks}")
        activations = batch.prefix([place - 1, place]).activations
        update = activations[place].cpu().double() - activations[place - 1].cpu().double()
        return batch.attributions(self, torch.linalg.vector_norm(update, dim=-1), layers=(place,))
