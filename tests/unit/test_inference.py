"""A model at work: members, views, starts, and memory."""

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sfumato import slabs
from sfumato.builder.process import build_process
from sfumato.data.formats.image import read_image, write_image
from sfumato.data.manifest import Case
from sfumato.data.spec import Intensity, Spec
from sfumato.diffusion.process import Condition
from sfumato.errors import ModelError
from sfumato.experiment import inference
from sfumato.experiment.inference import Ensemble, Twin, in_original_size, joined, predict
from sfumato.experiment.run import Model
from sfumato.metrics.ensemble import mutual_information
from sfumato.recipe import load_recipe

SIZE = 16
SPEC = Spec(
    size=(SIZE, SIZE), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, ""),
    mask_classes=("background", "a"), readers=1,
)  # fmt: skip


class Bright(nn.Module):
    """Foreground where the image is bright, `slant` more likely to the right; counts its calls by the image."""

    def __init__(self, slant: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0, slant, SIZE))
        self.calls = 0

    def forward(self, x: torch.Tensor, level: torch.Tensor, condition: Condition) -> torch.Tensor:
        assert condition.image is not None
        self.calls += 1
        scores = 2 * condition.image + self.weight + 0.1 * x[:, :1]
        return torch.cat([-scores, scores], 1)


def model(*settings: str, slant: float = 0.0) -> Model:
    recipe = load_recipe("segment", settings=["process.critical_log_snr=-5", *settings])
    network = Bright(slant).eval().requires_grad_(False)
    return Model("model", recipe, SPEC, build_process(recipe), network, 1, "")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    folder, drawn = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for number in range(6):
        write_image(folder / f"{number}.png", drawn.integers(0, 255, (SIZE, SIZE, 1)).astype(np.uint8))
    return [Case(id=str(number), image=str(folder / f"{number}.png")) for number in range(6)]


def test_memory_does_not_grow_with_the_number_of_steps(cases: list[Case]) -> None:
    """The tensors of a batch's size that are alive at the last call of the network; numpy's memory is traced."""
    peaks = []
    for steps in (12, 60):
        made, alive = model(), []

        def watch(network: nn.Module, *_: object, steps: int = steps, alive: list[int] = alive) -> None:
            if network.calls == steps:
                alive.append(living())

        made.network.register_forward_hook(watch)
        tracemalloc.start()
        list(predict(made, made.sampler(steps=steps), cases[:2], count=2, seed=0, batch=4))
        peaks.append((alive[0], tracemalloc.get_traced_memory()[1]))
        tracemalloc.stop()
    (few, early), (many, late) = peaks
    assert few > 0 and abs(many - few) <= 1 and late < 1.5 * early, peaks


def living() -> int:
    return sum(type(each) is torch.Tensor and each.numel() >= 4 * 2 * SIZE * SIZE for each in gc.get_objects())


def test_films_are_made_of_the_cases_asked_for(cases: list[Case]) -> None:
    made = model()
    ensembles = list(predict(made, made.sampler(steps=3), cases, count=2, seed=0, batch=3, recorded={"1", "4"}))
    assert [each.trajectory is not None for each in ensembles] == [False, True, False, False, True, False]
    for each in (ensembles[1], ensembles[4]):
        assert each.trajectory is not None and each.trajectory.steps == [1, 2, 3]
        end = each.trajectory.estimates[-1]
        assert np.allclose((end.numpy() + 1) / 2, each.members[0], atol=1e-6), "of the first member"
        torch.testing.assert_close(each.trajectory.forward_noised[-1], end)
        assert (each.trajectory.forward_noised[0] - end).abs().mean() > 0.3, "noise at the first level"
        for picture in (*each.trajectory.forward_noised, *each.trajectory.states, *each.trajectory.estimates):
            assert picture.untyped_storage().nbytes() == picture.nbytes, "not the whole batch"


def test_films_of_long_walks_are_short(cases: list[Case]) -> None:
    made = model()
    (ensemble,) = predict(made, made.sampler(steps=30), cases[:1], count=1, seed=0, batch=1, recorded={"0"})
    assert ensemble.trajectory is not None and len(ensemble.trajectory.steps) == len(ensemble.trajectory.states) == 9
    assert ensemble.trajectory.steps[0] == 1 and ensemble.trajectory.steps[-1] == 30


def test_views_are_turned_back_and_see_each_another_image(cases: list[Case]) -> None:
    fair, slanted = (model("process={kind: none, prediction: logits}", slant=slant) for slant in (0.0, 3.0))
    (ensemble,) = predict(fair, fair.sampler(), cases[:1], count=8, seed=0, batch=3, tta=True)
    assert np.allclose(ensemble.members, ensemble.members[:1], atol=1e-6), "a network that follows every turn"
    (ensemble,) = predict(slanted, slanted.sampler(), cases[:1], count=8, seed=0, batch=3, tta=True)
    left = ensemble.members[:, 1, :, 0].mean(-1)
    assert left[1] > left[0] and len(np.unique(left.round(4))) > 2
    with pytest.raises(ValueError, match="only 8 views"):
        next(predict(fair, fair.sampler(), cases[:1], count=9, seed=0, batch=3, tta=True))


def test_a_warm_start_asks_the_twin_once_for_each_image(cases: list[Case]) -> None:
    made, twin = model("sample={start: twin, steps: 2}"), model("process={kind: none, prediction: logits}")
    start = Twin(model=twin)
    drawn = list(predict(made, made.sampler(), cases[:2], count=4, seed=0, batch=8, start=start))
    assert twin.network.calls == 1 and start.calls == 1 and made.network.calls == 2
    assert not np.allclose(drawn[0].members[0], drawn[0].members[1], atol=1e-5), "members differ by noise"
    images = torch.randn(2, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    soft, hard = start(images), Twin(model=twin, hard=True)(images)
    assert set(hard.unique().tolist()) == {-1, 1} and torch.equal(hard.argmax(1), soft.argmax(1))
    assert 0 < float(soft.abs().min()) < 1
    softly, hardly = (
        next(predict(made, made.sampler(), cases[:1], count=1, seed=0, batch=8, start=Twin(model=twin, hard=hard)))
        for hard in (False, True)
    )
    assert not np.allclose(softly.members, hardly.members, atol=1e-6)


def test_what_members_disagree_about_is_mapped(cases: list[Case]) -> None:
    made = model()
    (ensemble,) = predict(made, made.sampler(steps=1), cases[:1], count=3, seed=0, batch=8)
    assert np.allclose(in_original_size(ensemble).information, mutual_information(ensemble.members), atol=1e-6)


@pytest.mark.parametrize("models", [1, 2])
def test_what_was_handed_over_is_not_held(cases: list[Case], models: int) -> None:
    made, held = model(), list[weakref.ref[np.ndarray]]()

    def watched(ensembles: Iterator[Ensemble]) -> Iterator[Ensemble]:
        while taken := [each for _, each in zip(range(1), ensembles, strict=False)]:
            base = taken[0].members.base
            held.append(weakref.ref(taken[0].members if base is None else base))
            del base
            yield taken.pop()

    streams = [
        watched(predict(made, made.sampler(steps=1), cases[:3], count=2, seed=seed, batch=2)) for seed in range(models)
    ]
    drawn = watched(joined(streams))
    for number in range(3):
        ensemble = next(drawn)
        assert len(held) == (models + 1) * (number + 1) and held[-1]() is not None
        del ensemble
        assert not any(each() is not None for each in held)
    assert next(drawn, None) is None


def test_several_models_are_one_ensemble_of_each_case(cases: list[Case]) -> None:
    made = model()
    alone = [list(predict(made, made.sampler(steps=1), cases[:2], count=2, seed=s, batch=2)) for s in range(2)]
    for together, *parts in zip(joined([iter(each) for each in alone]), *alone, strict=True):
        assert together.case == parts[0].case
        assert np.array_equal(together.members, np.concatenate([part.members for part in parts]))


def test_large_images_are_filmed_smaller(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    made = model()
    (whole,) = predict(made, made.sampler(steps=3), cases[:1], count=1, seed=0, batch=1, recorded={"0"})
    monkeypatch.setattr(inference, "FILMED_SIDE", 6)
    (small,) = predict(made, made.sampler(steps=3), cases[:1], count=1, seed=0, batch=1, recorded={"0"})
    assert whole.trajectory is not None and small.trajectory is not None
    assert np.array_equal(small.members, whole.members)
    for one, other in zip(small.trajectory.states, whole.trajectory.states, strict=True):
        assert torch.equal(one, other[:, ::3, ::3])


def test_maps_of_large_images_are_of_single_precision(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    made = model()
    (ensemble,) = predict(made, made.sampler(steps=1), cases[:1], count=3, seed=0, batch=8)
    exact = in_original_size(ensemble)
    monkeypatch.setattr(inference, "MAPS_AS_THEY_ARE", SIZE)
    rounded = in_original_size(ensemble)
    assert exact.probability.dtype == np.float64 and rounded.probability.dtype == np.float32
    for one, other in zip(exact, rounded, strict=True):
        assert np.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("together", [1, 3 * SIZE, SIZE**2])
def test_a_picture_is_the_image(cases: list[Case], monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    made = model()
    monkeypatch.setattr(slabs, "PIXELS_TOGETHER", together)
    (ensemble,) = predict(made, made.sampler(steps=1), cases[:1], count=1, seed=0, batch=1)
    assert np.array_equal(ensemble.picture, read_image(cases[0].image))


def test_numbers_that_are_none_are_found_in_any_row(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    made = model()
    monkeypatch.setattr(slabs, "PIXELS_TOGETHER", SIZE)
    made.network.weight = nn.Parameter(torch.where(torch.arange(SIZE) == SIZE // 2, torch.nan, 0.0)[:, None])
    with pytest.raises(ModelError, match="NaN"):
        list(predict(made, made.sampler(steps=1), cases[:1], count=1, seed=0, batch=1))


def test_members_that_grow_large_in_the_original_size_are_kept_in_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3 * SIZE, 4 * SIZE)).astype(np.uint8)
    write_image(tmp_path / "large.png", pixels)
    large = [Case(id="large", image=str(tmp_path / "large.png"))]
    made = model()
    (ensemble,) = predict(made, made.sampler(steps=1), large, count=2, seed=0, batch=2)
    exact = in_original_size(ensemble)
    monkeypatch.setattr(inference, "SHARES_AS_THEY_ARE", ensemble.members.size)
    assert inference._resized(ensemble).dtype == np.float16 and ensemble.members.dtype == np.float32
    assert np.allclose(in_original_size(ensemble).probability, exact.probability, atol=1e-3)
