"""Fixtures for all tests: small classifiers, built once, handed out as copies so that no test can leak into another."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings
from transformers import PreTrainedModel

import tiny
from narrows.bottleneck.prior import Prior
from narrows.models.cut.blocks import identify
from tiny import Classifier

torch.set_num_threads(1)
settings.register_profile(
    "narrows",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("narrows")


@functools.cache
def _built(family: str, seed: int) -> Classifier:
    return tiny.classifier(family, seed)


@pytest.fixture
def make_classifier() -> Callable[..., Classifier]:
    """Hand out a private copy of a tiny classifier."""

    def make(family: str, seed: int = 0) -> Classifier:
        return copy.deepcopy(_built(family, seed))

    return make


@pytest.fixture(params=sorted(tiny.FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def any_classifier(family: str, make_classifier: Callable[..., Classifier]) -> Classifier:
    return make_classifier(family)


@pytest.fixture
def bert(make_classifier: Callable[..., Classifier]) -> Classifier:
    return make_classifier("bert")


@pytest.fixture
def gpt2(make_classifier: Callable[..., Classifier]) -> Classifier:
    return make_classifier("gpt2")


@pytest.fixture
def make_prior() -> Callable[..., Prior]:
    """Make a prior of a model without any corpus: made-up numbers of the right shapes."""

    def make(model: PreTrainedModel, seed: int = 0) -> Prior:
        generator = torch.Generator().manual_seed(seed)
        identity = identify(model)
        shape = (identity.blocks + 1, identity.hidden)
        mean = torch.randn(shape, generator=generator) * 0.3
        std = torch.rand(shape, generator=generator) + 0.5
        return Prior(mean, std, 100, identity)

    return make


@pytest.fixture(autouse=True)
def _global_state() -> Iterator[None]:
    """Start every test from the same global generator, and see that it leaves torch's switches as they were."""
    torch.manual_seed(0)
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    yield
    assert torch.is_grad_enabled()
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype)


# Files of about three seconds and more: left out of `make test-fast`.
SLOW = (
    "app/test_attack",
    *("app/test_session", "cli/test_commands", "cli/test_evaluations", "cli/test_finetune", "cli/test_runs"),
    *("docs/test_code_blocks", "docs/test_site"),
    *("evaluation/test_cost", "methods/test_method", "methods/test_occlusion", "models/heads/test_tasks"),
    *(
        "models/hub/test_finetune",
        "models/test_families",
        "run/test_cluster",
        "run/test_dataset",
        "run/test_evaluating",
    ),
    *(
        "run/test_flat_memory",
        "test_examples",
        "test_explainer",
        "test_heads",
        "test_serving",
        "test_threads",
        "viz/test_curves",
        "viz/test_figure",
    ),
    *("evaluation/test_degradation", "methods/test_evidence", "methods/test_information", "models/cut/test_split"),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.with_suffix("").as_posix().endswith(tuple(f"tests/{name}" for name in SLOW)):
            item.add_marker(pytest.mark.slow)
