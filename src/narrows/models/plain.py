"""The prediction that is explained is the user's own: compared with a plain call of the model, once per kind of row."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from narrows.errors import ModelError, warn
from narrows.models.cut.blocks import text_config
from narrows.models.cut.calling import arguments
from narrows.models.cut.head import unobserved
from narrows.models.cut.view import origin
from narrows.models.text.encoding import Encoding

RowKind = tuple[bool, bool, bool]  # whether it has company, is padded, may end in padding of its own
_AGREED: WeakKeyDictionary[nn.Module, set[RowKind]] = WeakKeyDictionary()


def check_plain(
    model: PreTrainedModel,
    encodings: Sequence[Encoding],
    logits: Tensor,
    reading: Callable[[int], AbstractContextManager[None]],
) -> None:
    """Compare the logits of a batch, a row per text, with ``model(**tokenizer(text))`` of one text per kind of row."""
    # More than rounding is a ModelError, unless only the company of texts of one length changes the logits, as in
    # models that are quantised on the fly: that is a `NarrowsWarning`.
    agreed = _AGREED.setdefault(origin(model), set())
    config = text_config(model)
    ends = (getattr(config, "pad_token_id", None), getattr(config, "eos_token_id", None))
    longest = max(map(len, encodings))
    for row, encoding in enumerate(encodings):
        last = encoding.features["input_ids"][-1]
        kind = (len(encodings) > 1, len(encoding) < longest, last in ends)
        if kind in agreed:
            continue
        with reading(row):
            plain = _call(model, encoding)
        if plain is not None:
            _compare(type(model).__name__, encoding, logits[row][: len(plain)], plain, kind)
        agreed.add(kind)


def _call(model: nn.Module, encoding: Encoding) -> Tensor | None:
    """Call a model on one text, as users do, and return its logits without the batch; None if they have no name."""
    device = next(model.parameters()).device
    features = {name: torch.tensor([values], device=device) for name, values in encoding.features.items()}
    args, kwargs = arguments(model, features)
    with torch.no_grad(), unobserved():
        output = model(*args, **kwargs)
    ends = [getattr(output, name, None) for name in ("start_logits", "end_logits")]
    answers = [logits for logits in ends if isinstance(logits, Tensor)]
    logits = torch.stack(answers, dim=-1) if answers else getattr(output, "logits", None)
    return logits[0] if isinstance(logits, Tensor) else None


def _compare(called: str, encoding: Encoding, found: Tensor, plain: Tensor, kind: RowKind) -> None:
    """Raise or warn if logits differ by more than rounding; in half precision, the kernels for a batch differ much."""
    rounding = 4 * torch.finfo(plain.dtype).eps ** 0.5 * max(float(plain.abs().max()), 1.0)
    off = float((found - plain).abs().max())
    if not off > rounding:
        return
    company, padded, _ = kind
    how = "in a batch with longer texts" if padded else "in a batch with others" if company else "here"
    message = f"{called} gives other logits for {' '.join(encoding.tokens)!r:.60} {how} than alone: off by {off:.2g}"
    if company and not padded:
        warn(f"{message}; batch_size=1 explains each text alone")
        return
    raise ModelError(f"{message}, so its prediction cannot be explained{'; use batch_size=1' if company else ''}")
