"""The page for an auditor: a map with the hashes of model and text, and the versions of what computed it."""

import hashlib
import platform
from datetime import datetime, timezone

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from narrows.data.schema import AttributionDict
from narrows.viz.audit import render_audit


def audit_pdf(attribution: AttributionDict, model: PreTrainedModel, said: str | None = None) -> bytes:
    """Draw a map as a PDF of one page, with all that makes it again; `said` is of words struck out by hand."""
    text = "\0".join(filter(None, (attribution["text"], attribution["text_pair"])))
    place = next(model.parameters()).device
    facts = {
        "model": f"{attribution['model']}, {type(model).__name__}",
        "weights": f"SHA-256 {weights_sha256(model)}",
        "text": f"SHA-256 {hashlib.sha256(text.encode()).hexdigest()}",
        "versions": f"torch {torch.__version__}, transformers {transformers.__version__}, "
        f"Python {platform.python_version()}, on {place.type}, {str(model.dtype).removeprefix('torch.')}",
        "written": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
    }
    return render_audit(attribution, facts, said)


def weights_sha256(model: PreTrainedModel) -> str:
    """Hash the weights as they are in memory: names, types, shapes and bytes of all tensors, by name."""
    # A file with the same weights may have another hash: it holds more than they.
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
