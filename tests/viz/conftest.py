from __future__ import annotations

import pytest

from narrows.data.schema import AttributionDict
from saved_results import CASES


@pytest.fixture(params=list(CASES))
def attribution(request: pytest.FixtureRequest) -> AttributionDict:
    return CASES[request.param]()
