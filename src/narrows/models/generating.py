"""What a causal language model writes behind a prompt: tokens, from a private view of the user's model."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel

from narrows.errors import InputError
from narrows.models.cut.blocks import text_config

GREEDY = {"do_sample": False, "temperature": 1.0, "top_p": 1.0, "top_k": 50}  # what greedy decoding ignores, unset
OURS = ("max_new_tokens", "max_length", "num_return_sequences", "return_dict_in_generate")  # not the user's to set


def check_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return options of `transformers.GenerationConfig`; an `InputError` if there is no such option."""
    if options is not None and not isinstance(options, Mapping):
        raise InputError(f"generation options are a mapping, such as {{'num_beams': 4}}, not {type(options).__name__}")
    given = dict(options or {})
    usual: Any = GenerationConfig()  # type: ignore[no-untyped-call]
    known = {name for name in vars(usual) if not name.startswith("_")} - set(OURS)
    if strange := [name for name in given if name not in known]:
        raise InputError(f"no generation option {strange[0]!r}; they are those of transformers.GenerationConfig")
    return given


def generate_ids(
    view: PreTrainedModel, ids: Sequence[int], max_new_tokens: int, padding: int, options: Mapping[str, Any]
) -> list[int]:
    """Return the tokens that a model writes behind these, without the end of text; greedy unless options say else."""
    given = torch.tensor([list(ids)], device=view.device)
    settings = {**({} if options.get("do_sample") else GREEDY), "pad_token_id": padding, **options}
    whole: Any = view.generate(  # type: ignore[operator]
        given, attention_mask=torch.ones_like(given), max_new_tokens=max_new_tokens, **settings
    )
    found = whole[0, len(ids) :].tolist()
    own, configured = (getattr(of, "eos_token_id", None) for of in (view.generation_config, text_config(view)))
    ends = options.get("eos_token_id", configured if own is None else own)
    while found and found[-1] in (ends if isinstance(ends, (list, tuple)) else (ends,)):
        found.pop()
    return list(found)
