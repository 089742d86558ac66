"""Whether a model only looks back: decoders do, encoders and those with both do not."""

from __future__ import annotations

import pytest

import families
from narrows.models.cut.causal import looks_back_only


@pytest.mark.parametrize("row", families.FAMILIES, ids=lambda row: row.name)
def test_decoders_look_back_only(row: families.Family) -> None:
    model = families.build(row)
    assert looks_back_only(model) == (row.kind == "decoder")
    assert looks_back_only(model) == (row.kind == "decoder")  # as it was found
