from __future__ import annotations

import pytest
from saved_results import CASES

from narrows.schema import AttributionDict


@pytest.fixture(params=list(CASES))
def attribution(request: pytest.FixtureRequest) -> AttributionDict:
    return CASES[request.param]()
