"""Priors: streaming statistics against numpy and loops, files, and the refusal of what does not belong together."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

import reference
from narrows.bottleneck.prior import (
    ABSOLUTE_STD_FLOOR,
    PRIORS,
    RELATIVE_STD_FLOOR,
    RESIDUAL_STD,
    Gaussian,
    InstancePrior,
    ModelIdentity,
    Moments,
    Prior,
    ResidualPrior,
    find_prior,
    floor_std,
)
from narrows.bottleneck.sinks import Run
from narrows.errors import LayerError, PriorError
from narrows.models.corpus import estimate_prior
from narrows.models.cut.blocks import identify
from tiny import Classifier


def instance_prior(activation: Tensor, real: Tensor) -> Gaussian:
    return InstancePrior().at(1, {1: activation}, real)


IDENTITY = ModelIdentity("tiny", hidden=4, blocks=2, probe=torch.arange(8.0))


def gaussians(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 4, generator=generator), torch.rand(3, 4, generator=generator) + 0.1


@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=6).filter(lambda sizes: sum(sizes) > 0),
    shift=st.floats(-1e4, 1e4),
    scale=st.floats(1e-2, 1e2),
)
def test_streaming_moments_equal_numpys_however_the_batches_are_cut(
    sizes: list[int], shift: float, scale: float
) -> None:
    drawn = np.random.default_rng(sum(sizes)).normal(shift, scale, (sum(sizes), 3)).astype(np.float32)
    moments = Moments(3)
    for part in np.split(drawn, np.cumsum(sizes)[:-1]):
        moments.update(torch.from_numpy(part))
    assert moments.count == len(drawn)
    wide = drawn.astype(np.float64)
    np.testing.assert_allclose(moments.mean.numpy(), wide.mean(axis=0), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(moments.variance.numpy(), wide.var(axis=0), rtol=1e-8, atol=1e-10)


def test_streaming_moments_survive_a_mean_far_above_the_deviation() -> None:
    values = torch.tensor([[10000.0], [10001.0], [10002.0]])
    moments = Moments(1)
    for value in values:
        moments.update(value.unsqueeze(0))
    assert moments.variance.item() == pytest.approx(2 / 3, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_moments_of_half_precision_are_not_summed_in_half_precision(dtype: torch.dtype) -> None:
    values = (torch.randn(5000, 2) + 3).to(dtype)
    moments = Moments(2)
    moments.update(values)
    torch.testing.assert_close(moments.mean, values.double().mean(dim=0), rtol=1e-6, atol=1e-6)


def batches(lengths: list[int]) -> Run:
    """Activations of three layers with NaN at the padding, ids, and the mask of real tokens."""
    real = torch.tensor([[position < length for position in range(max(lengths))] for length in lengths])
    layers = [torch.randn(*real.shape, 4) * (layer + 1) + layer for layer in range(3)]
    for activation in layers:
        activation[~real] = math.nan
    return layers, torch.zeros(real.shape, dtype=torch.long), real


def test_a_prior_is_estimated_per_layer_over_real_tokens_only() -> None:
    first, second = batches([5, 2]), batches([3, 4, 1])
    prior = Prior.estimate([first, second], IDENTITY)
    assert prior.count == 15
    for layer in range(3):
        vectors = torch.cat([activations[layer][real] for activations, _, real in (first, second)]).numpy()
        np.testing.assert_allclose(prior.mean[layer], vectors.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(prior.std[layer], vectors.std(axis=0), rtol=1e-5)
        assert torch.equal(prior.at(layer).mean, prior.mean[layer])
        assert torch.equal(prior.at(layer).std, prior.std[layer])


@pytest.mark.parametrize("layer", [-1, 3])
def test_a_prior_has_no_layer_out_of_range(layer: int) -> None:
    prior = Prior(*gaussians(), 10, IDENTITY)
    with pytest.raises(LayerError, match="0 to 2"):
        prior.at(layer)


def test_an_empty_corpus_is_refused() -> None:
    with pytest.raises(PriorError, match="empty"):
        Prior.estimate([], IDENTITY)


def test_the_deviation_has_a_floor_relative_to_the_other_features() -> None:
    assert RELATIVE_STD_FLOOR == 0.01
    std = floor_std(torch.tensor([3.0, 0.0, 4.0, 1e-9]))
    typical = math.sqrt((9 + 16) / 4)
    torch.testing.assert_close(std, torch.tensor([3.0, 0.01 * typical, 4.0, 0.01 * typical]))


def test_the_deviation_has_a_floor_where_nothing_varies() -> None:
    torch.testing.assert_close(floor_std(torch.zeros(3)), torch.full((3,), ABSOLUTE_STD_FLOOR))


def test_a_constant_feature_of_a_corpus_is_floored() -> None:
    layers, ids, real = batches([6, 6])
    layers[1][..., 2] = 7.0
    prior = Prior.estimate([(layers, ids, real)], IDENTITY)
    assert 0 < prior.std[1, 2] < 0.02 * prior.std[1].max()


def test_a_saved_prior_comes_back_exactly(tmp_path: Path) -> None:
    prior = Prior(*gaussians(), 123, IDENTITY)
    path = tmp_path / "prior.safetensors"
    prior.save(path)
    again = Prior.load(str(path))
    assert torch.equal(again.mean, prior.mean)
    assert torch.equal(again.std, prior.std)
    assert torch.equal(again.model.probe, prior.model.probe)
    assert (again.count, again.model.name, again.model.hidden, again.model.blocks) == (123, "tiny", 4, 2)
    assert again.digest == prior.digest


def test_saving_again_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "prior.safetensors"
    Prior(*gaussians(0), 1, IDENTITY).save(path)
    Prior(*gaussians(1), 2, IDENTITY).save(path)
    assert Prior.load(path).count == 2


def test_the_digest_tells_priors_apart() -> None:
    digests = {Prior(*gaussians(seed), 1, IDENTITY).digest for seed in range(5)}
    assert len(digests) == 5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["mean", "std"])
def test_numbers_that_are_not_finite_are_refused(value: float, where: str) -> None:
    mean, std = gaussians()
    (mean if where == "mean" else std)[1, 2] = value
    with pytest.raises(PriorError, match=f"{where} of the prior holds NaN or infinity"):
        Prior(mean, std, 1, IDENTITY)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_deviation_not_above_zero_is_refused(value: float) -> None:
    mean, std = gaussians()
    std[0, 0] = value
    with pytest.raises(PriorError, match="not above zero"):
        Prior(mean, std, 1, IDENTITY)


def test_shapes_that_do_not_fit_the_model_are_refused() -> None:
    mean, std = gaussians()
    with pytest.raises(PriorError, match=r"shape \(2, 4\); its model needs \(3, 4\)"):
        Prior(mean[:2], std, 1, IDENTITY)
    with pytest.raises(PriorError, match="std of the prior has shape"):
        Prior(mean, std[:, :3], 1, IDENTITY)


def write_file(path: Path, what: str) -> None:
    """Write something that is no prior."""
    good = {"mean": torch.zeros(3, 4), "std": torch.ones(3, 4), "probe": torch.zeros(8)}
    about = {"name": "tiny", "count": 1, "sinks": {"positions": [0], "tokens": []}}
    header = {"format": "narrows-prior-2", "prior": json.dumps(about)}
    match what:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("this is no prior at all")
        case "cut":
            save_file(good, path, header)
            path.write_bytes(path.read_bytes()[:-10])
        case "tensors of something else":
            save_file({"weight": torch.zeros(3)}, path)
        case "no std":
            save_file({name: good[name] for name in ("mean", "probe")}, path, header)
        case "nan":
            save_file({**good, "mean": torch.full((3, 4), math.nan)}, path, header)
        case "no header":
            save_file(good, path, {"format": header["format"]})
        case "broken header":
            save_file(good, path, {**header, "prior": "{"})
        case "header without count":
            save_file(good, path, {**header, "prior": "{}"})
        case "vectors":
            save_file({**good, "mean": torch.zeros(4), "std": torch.ones(4)}, path, header)


@pytest.mark.parametrize(
    "what",
    [
        "empty",
        "text",
        "cut",
        "tensors of something else",
        "no std",
        "nan",
        "no header",
        "broken header",
        "header without count",
        "vectors",
    ],
)
def test_a_file_that_is_no_prior_is_refused_by_one_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / "prior.safetensors"
    write_file(path, what)
    with pytest.raises(PriorError) as caught:
        Prior.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.safetensors", "."])
def test_a_missing_prior_or_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PriorError, match="no such prior"):
        Prior.load(tmp_path / name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_same_model_in_another_dtype_is_accepted(
    any_classifier: Classifier, make_prior: Callable[..., Prior], dtype: torch.dtype
) -> None:
    model, _ = any_classifier
    prior = make_prior(model)
    prior.check_model(identify(model.to(dtype)))


def test_a_model_of_the_same_architecture_with_other_weights_is_refused(
    family: str, make_classifier: Callable[..., Classifier], make_prior: Callable[..., Prior]
) -> None:
    prior = make_prior(make_classifier(family, 0)[0])
    with pytest.raises(PriorError, match=r"belongs to another model .*: weights of \d+ of \d+ parameters;"):
        prior.check_model(identify(make_classifier(family, 1)[0]))


def test_a_model_of_another_size_is_refused() -> None:
    prior = Prior(*gaussians(), 1, IDENTITY)
    other = ModelIdentity("other", hidden=8, blocks=2, probe=IDENTITY.probe)
    with pytest.raises(PriorError, match=r"'other': hidden size 4, not 8;"):
        prior.check_model(other)
    with pytest.raises(PriorError, match="blocks 2, not 3"):
        prior.check_model(ModelIdentity("other", hidden=4, blocks=3, probe=IDENTITY.probe))


def test_instance_prior_equals_loops_and_leaves_padding_out() -> None:
    x = torch.randn(2, 6, 4, dtype=torch.float64)
    real = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    x[~real] = 1e4
    prior = instance_prior(x, real)
    assert prior.mean.shape == prior.std.shape == (2, 1, 4)
    for row, length in enumerate([6, 3]):
        mean, std = reference.instance_moments(x[row, :length].tolist())
        torch.testing.assert_close(prior.mean[row, 0], torch.tensor(mean, dtype=torch.float64), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(prior.std[row, 0], torch.tensor(std, dtype=torch.float64), rtol=1e-6, atol=1e-6)


def test_instance_prior_of_one_token_has_a_deviation_above_zero() -> None:
    prior = instance_prior(torch.randn(1, 1, 4), torch.ones(1, 1).bool())
    assert (prior.std > 0).all()


def test_residual_prior_is_the_layer_before_with_the_released_codes_deviation() -> None:
    previous = torch.randn(2, 3, 4)
    prior = ResidualPrior().at(2, {1: previous, 2: previous + 1}, torch.ones(2, 3).bool())
    assert torch.equal(prior.mean, previous)
    assert math.sqrt(1e-5) == RESIDUAL_STD
    torch.testing.assert_close(prior.std.expand_as(previous), torch.full_like(previous, math.sqrt(1e-5)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["instance", "residual"])
def test_the_gaussians_of_a_half_precision_model_are_float32(name: str, dtype: torch.dtype) -> None:
    x = {layer: torch.randn(2, 3, 4).to(dtype) for layer in (0, 1)}
    gaussian = PRIORS[name].at(1, x, torch.ones(2, 3).bool())
    assert gaussian.mean.dtype == gaussian.std.dtype == torch.float32


def test_a_prior_says_which_activations_it_looks_at_and_whether_texts_differ() -> None:
    corpus = Prior(*gaussians(), 1, IDENTITY)
    assert (corpus.per_text, corpus.name) == (False, f"corpus {corpus.digest}")
    assert [corpus.needs(layer) for layer in range(3)] == [(), (), ()]
    for layer in (-1, 3):
        with pytest.raises(LayerError, match="0 to 2"):
            corpus.needs(layer)
    assert (PRIORS["instance"].per_text, PRIORS["instance"].name) == (True, "instance")
    assert (PRIORS["residual"].per_text, PRIORS["residual"].name) == (True, "residual")
    for layer in range(1, 4):
        assert PRIORS["instance"].needs(layer) == (layer,)
        assert PRIORS["residual"].needs(layer) == (layer - 1,)
    assert PRIORS["instance"].needs(0) == (0,)
    with pytest.raises(LayerError, match="layer 1"):
        PRIORS["residual"].needs(0)


def test_a_prior_is_found_by_name_by_file_or_is_one_already(tmp_path: Path) -> None:
    prior = Prior(*gaussians(), 5, IDENTITY)
    prior.save(tmp_path / "prior.safetensors")
    for place in (tmp_path / "prior.safetensors", str(tmp_path / "prior.safetensors")):
        found = find_prior(place)
        assert isinstance(found, Prior) and found.digest == prior.digest
    for own in (prior, *PRIORS.values()):
        assert find_prior(own) is own
    assert set(PRIORS) == {"instance", "residual"}
    for name, own in PRIORS.items():
        assert find_prior(name) is own
    with pytest.raises(PriorError, match=r"instanse.*instance, residual"):
        find_prior("instanse")


def test_a_loaded_prior_does_not_change_with_its_file(bert: Classifier, tmp_path: Path) -> None:
    """Tensors of a safetensors file are views of it; a prior must not be."""
    path = tmp_path / "prior.safetensors"
    estimate_prior(*bert, ["a good film"]).save(path)
    loaded = Prior.load(path)
    before = loaded.mean.clone()
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(loaded.mean, before)


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_copy_is_told_from_another_model(bert: Classifier, make_prior: Callable[..., Prior]) -> None:
    """Its packed weights are no parameters any more, so that there is nothing to recognise it by."""
    model, _ = bert
    prior = make_prior(model)
    packed = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear})
    with pytest.raises(PriorError, match=r"57 parameters, not \d+ \(is one of them quantised\?\)"):
        prior.check_model(identify(packed))


@pytest.mark.parametrize("failure", [OSError(19, "No such device"), PermissionError(13, "Permission denied")])
def test_a_prior_that_cannot_be_read_is_one_line(
    failure: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise failure

    Prior(*gaussians(), 1, IDENTITY).save(tmp_path / "prior.safetensors")
    monkeypatch.setattr("narrows.bottleneck.prior.safe_open", refuse)
    with pytest.raises(PriorError, match=rf"prior.safetensors cannot be read: {failure.strerror}"):
        Prior.load(tmp_path / "prior.safetensors")


def test_a_prior_from_before_sinks_were_left_out_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prior.safetensors"
    tensors = {"mean": torch.zeros(3, 4), "std": torch.ones(3, 4), "probe": torch.zeros(8)}
    save_file(tensors, path, {"format": "narrows-prior-1", "prior": json.dumps({"name": "tiny", "count": 1})})
    with pytest.raises(PriorError, match=r"sinks.*narrows calibrate"):
        Prior.load(path)


def test_a_damaged_prior_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "prior.safetensors"
    write_file(path, "nan")
    with pytest.raises(PriorError, match=r"prior.safetensors: mean of the prior holds NaN"):
        Prior.load(path)
