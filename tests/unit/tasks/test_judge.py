"""Drawn images against held-out ones while a model trains: the same distribution is near, noise and one colour far."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sfumato.builder.process import build_process
from sfumato.builder.task import build_task
from sfumato.commands.toy import toy
from sfumato.data.pack import Pack
from sfumato.errors import UsageError
from sfumato.metrics.fidelity import PixelSpace, kid
from sfumato.recipe import load_recipe
from sfumato.tasks.judge import Judge
from sfumato.tasks.synthesise import Synthesise


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    folder: Path = tmp_path_factory.mktemp("toy") / "toy"
    toy(folder, cases=60, size=16, classes=2, seed=3)
    from sfumato.commands.prepare import prepare

    prepare(folder, out=folder.parent / "dataset")
    return Pack.open(folder.parent / "dataset")


class Silent(torch.nn.Module):
    def forward(self, x, level, condition):  # type: ignore[no-untyped-def]
        return torch.zeros_like(x)


def task(pack: Pack, *settings: str) -> Synthesise:
    words = ["process.sigma_data=0.5", "sample.steps=2", "train.batch=8", "data.augment=none", *settings]
    recipe = load_recipe("generate", settings=words)
    built = build_task(recipe, pack, build_process(recipe), device="cpu")
    assert isinstance(built, Synthesise)
    return built


def test_the_same_distribution_is_near(pack: Pack) -> None:
    rows = pack.rows("train")
    judge = Judge(pack, rows[::2], rows, images=20)
    real = judge.distance(pack.images(rows[1::2]))
    noise = torch.randn(20, 3, 16, 16, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    assert abs(real) < 1.5  # the noise of 21 images
    space = PixelSpace.of(pack.images(rows).numpy())
    halves = [space.features(pack.images(half).numpy()) for half in (rows[1::2], rows[::2])]
    assert real == pytest.approx(kid(*halves), rel=1e-6)
    assert judge.distance(torch.ones(20, 3, 16, 16)) > 1000 * abs(real)
    assert judge.distance(noise) > 10 * abs(real)


def test_a_validation_draws_and_judges(pack: Pack) -> None:
    built = task(pack, "validate.images=10")
    scores = built.validate(Silent())
    assert scores == built.validate(Silent())
    assert scores["score"] == -scores["loss_held_out"]
    assert built.judge is not None
    drawn = built._draw(Silent(), pack.labels(built.rows * 5)[:10].tolist(), "judged")
    assert drawn.shape == (10, pack.spec.channels, 16, 16)
    assert scores["kid"] == pytest.approx(built.judge.distance(drawn))
    by_distance = task(pack, "validate.images=10", "validate.metric=kid").validate(Silent())
    assert by_distance["score"] == -by_distance["kid"] == -scores["kid"]


def test_none_are_drawn_where_none_are_asked_for(pack: Pack) -> None:
    assert "kid" not in task(pack, "validate.images=0").validate(Silent())
    assert "kid" not in replace(task(pack), judge=None).validate(Silent())


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
