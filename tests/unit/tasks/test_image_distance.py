"""Drawn images against held-out ones while a model trains: the same distribution is near, noise and one colour far."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sfumato.builder.process import build_process
from sfumato.builder.task import build_task
from sfumato.commands.toy import toy
from sfumato.data.dataset import Dataset
from sfumato.errors import UsageError
from sfumato.metrics.fidelity import PixelSpace, kid
from sfumato.recipe import load_recipe
from sfumato.tasks.image_distance import ImageDistance
from sfumato.tasks.synthesise import Synthesise


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder: Path = tmp_path_factory.mktemp("toy") / "toy"
    toy(folder, cases=60, size=16, classes=2, seed=3)
    from sfumato.commands.prepare import prepare

    prepare(folder, out=folder.parent / "dataset")
    return Dataset.open(folder.parent / "dataset")


class Silent(torch.nn.Module):
    def forward(self, x, level, condition):  # type: ignore[no-untyped-def]
        return torch.zeros_like(x)


def task(dataset: Dataset, *settings: str) -> Synthesise:
    words = ["process.sigma_data=0.5", "sample.steps=2", "train.batch=8", "data.augment=none", *settings]
    recipe = load_recipe("generate", settings=words)
    built = build_task(recipe, dataset, build_process(recipe), device="cpu")
    assert isinstance(built, Synthesise)
    return built


def test_the_same_distribution_is_near(dataset: Dataset) -> None:
    rows = dataset.rows("train")
    image_distance = ImageDistance(dataset, rows[::2], rows, images=20)
    real = image_distance.distance(dataset.images(rows[1::2]))
    noise = torch.randn(20, 3, 16, 16, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    assert abs(real) < 1.5  # the noise of 21 images
    space = PixelSpace.of(dataset.images(rows).numpy())
    halves = [space.features(dataset.images(half).numpy()) for half in (rows[1::2], rows[::2])]
    assert real == pytest.approx(kid(*halves), rel=1e-6)
    assert image_distance.distance(torch.ones(20, 3, 16, 16)) > 1000 * abs(real)
    assert image_distance.distance(noise) > 10 * abs(real)


def test_a_validation_draws_and_judges(dataset: Dataset) -> None:
    built = task(dataset, "validate.images=10")
    scores = built.validate(Silent())
    assert scores == built.validate(Silent())
    assert scores["score"] == -scores["loss_held_out"]
    assert built.image_distance is not None
    drawn = built._draw(Silent(), dataset.labels(built.rows * 5)[:10].tolist(), "judged")
    assert drawn.shape == (10, dataset.spec.channels, 16, 16)
    assert scores["kid"] == pytest.approx(built.image_distance.distance(drawn))
    by_distance = task(dataset, "validate.images=10", "validate.metric=kid").validate(Silent())
    assert by_distance["score"] == -by_distance["kid"] == -scores["kid"]


def test_none_are_drawn_where_none_are_asked_for(dataset: Dataset) -> None:
    assert "kid" not in task(dataset, "validate.images=0").validate(Silent())
    assert "kid" not in replace(task(dataset), image_distance=None).validate(Silent())


@pytest.mark.parametrize(
    ("kind", "settings", "finding"),
    [
        ("generate", ["validate.metric=dice"], "says nothing about generate"),
        ("segment", ["validate.metric=kid"], "says nothing about segment"),
        ("generate", ["validate.metric=kid", "validate.images=0"], "needs two images"),
    ],
)
def test_a_metric_that_does_not_apply_is_refused(kind, settings, finding) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=finding):
        load_recipe(kind, settings=settings)
