"""What every test of a run needs: a base and a data set, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny_base


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base.save_sst2(tmp_path_factory.mktemp("data"))
