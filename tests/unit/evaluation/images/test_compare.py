"""Each way in which images can be wrong is noticed by a space; fresh real images by none. And the sentences."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from tests.unit.evaluation.images.conftest import blobs

from sfumato.data.dataset import Dataset
from sfumato.data.manifest import Case
from sfumato.evaluation.images.compare import Compared, compare_images
from sfumato.evaluation.images.draws import Sets, plan_groups
from sfumato.evaluation.images.panel import (
    MetricRow,
    SpaceFeatures,
    measure_classes,
    measure_images,
    measure_space,
    z_score,
)
from sfumato.evaluation.images.read import ImageSet, of_pack, real_images
from sfumato.evaluation.images.reading import BesideMean, FeatureSpace, image_sentences
from sfumato.evaluation.images.spaces import FeatureSpaceSpec, Space, make_space
from sfumato.metrics.table import MATCHED, POOLED
from sfumato.typing import Data

COUNT = 80
WISHES = [FeatureSpaceSpec("own"), FeatureSpaceSpec("radiomics"), FeatureSpaceSpec("pixels")]
DISTANCES = ("kid", "frechet")


@pytest.fixture(scope="module", autouse=True)
def few_steps() -> Iterator[None]:
    """A classifier of these images needs few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sfumato.evaluation.images.spaces.CLASSIFIER_STEPS", 40)
        yield


@pytest.fixture(scope="module")
def spaces(dataset: Dataset) -> list[Space]:
    return [make_space(wish, dataset, device="cpu", seed=0) for wish in WISHES]


@pytest.fixture(scope="module")
def held_out(dataset: Dataset) -> Data:
    return dataset.images([*dataset.rows("validation"), *dataset.rows("test")])


def fresh(seed: int = 5, first: int = COUNT // 2) -> np.ndarray:
    """New images of both classes, `first` of the first."""
    sides = [blobs(first, seed=seed, kind=0), blobs(COUNT - first, seed=seed + 1, kind=1)]
    return np.concatenate([side for side in sides if len(side)])


def data(pixels: np.ndarray) -> Data:
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1)[:, None]


def measured(spaces: list[Space], real: Data, generated: Data) -> list[MetricRow]:
    group = plan_groups(Sets([""] * len(real), [""] * len(generated)), seed=0).groups[0]
    rows = [*measure_images(real, generated, [group], seed=0)]
    for space in spaces:
        features = space.features(real)
        rows += measure_space(
            space.name, SpaceFeatures(features, space.features(generated), features[:0]), group, seed=0
        )
    return rows


def scores(rows: list[MetricRow]) -> list[float]:
    return [row.z for row in rows if row.metric in DISTANCES]


def noisy(pixels: np.ndarray, level: float) -> np.ndarray:
    return (pixels + np.random.default_rng(0).normal(0, 255 * level, pixels.shape)).clip(0, 255)


DEFECTS: dict[str, Callable[[], np.ndarray]] = {
    "blur": lambda: gaussian_filter(fresh().astype(float), (0, 1, 1)),
    "noise": lambda: noisy(fresh(), 0.03),
    "gain": lambda: (1.15 * fresh()).clip(0, 255),
    "flip": lambda: fresh()[:, ::-1].copy(),
    "quadrants": lambda: np.roll(fresh(), (12, 12), (1, 2)),
    "class mix": lambda: fresh(first=COUNT),
    "collapse": lambda: np.tile(fresh()[::10], (10, 1, 1)),
    "constant": lambda: np.full((COUNT, 24, 24), 128),
}


@pytest.mark.parametrize("seed", [5, 50, 500])
def test_fresh_real_images_are_noticed_by_no_space(spaces: list[Space], held_out: Data, seed: int):
    rows = measured(spaces, held_out, data(fresh(seed)))
    assert max(scores(rows)) < 3
    assert all(abs(row.floor) < 3 * row.floor_sd for row in rows if row.metric == "kid")


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_is_noticed_by_a_space(spaces: list[Space], held_out: Data, defect: str):
    rows = measured(spaces, held_out, data(DEFECTS[defect]()))
    assert max(scores(rows)) > 3
    if defect in ("collapse", "constant"):
        noticed = {row.metric for row in rows if row.noticed}
        assert {"coverage", "recall", "duplicates"} <= noticed and ("ms_ssim" in noticed or defect == "collapse")


def test_copies_are_noticed_by_no_space(spaces: list[Space], held_out: Data, dataset: Dataset):
    copies = dataset.images(dataset.rows("train")[::5][:COUNT])
    assert max(scores(measured(spaces, held_out, copies))) < 3.5


def as_images(pixels: np.ndarray, labels: str) -> ImageSet:
    """Samples of these classes, one letter for each."""
    shown = data(pixels)
    cases = tuple(Case(id=f"{k}", image=f"{k}.png", label=label) for k, label in enumerate(labels))
    return ImageSet(cases, lambda places: shown[list(places)], "samples")


def test_a_comparison_whole(dataset: Dataset):
    training = of_pack(dataset, dataset.rows("train"), "training part")
    real = real_images(dataset, "auto", name="real")
    generated = as_images(noisy(fresh(first=60), 0.05), "a" * 60 + "b" * 20)
    told: list[str] = []
    found = compare_images(
        Compared(dataset=dataset, real=real, generated=generated, training=training), WISHES, tell=told.append, seed=1
    )
    assert told == ["space own", "space radiomics", "space pixels", "similarity of pairs, duplicates"]
    assert [group.name for group in found.groups] == [POOLED, MATCHED, "a", "b"]
    assert {row.metric for row in found.measures if row.space == "own"} >= {"inception_score", "density", "kid"}
    assert not any(row.metric == "kid_of_training" for row in found.measures if row.space == "own")
    assert any(row.metric == "kid_of_training" and row.space == "pixels" for row in found.measures)
    verdict, shares, classes, *_ = found.reading
    assert verdict.startswith("Different from real images in") and "texture" in verdict and "on each side" in verdict
    assert "other shares" in shares and classes.startswith("Classes that differ from their real images: 'a' (")
    assert "fewer than 5 images for each feature" in found.reading[-1]
    assert [row for row in found.measures if not row.low - 1e-9 <= row.value <= row.high + 1e-9] == []


def row(metric: str, z: float, *, space: str = "pixels", group: str = POOLED, value: float = 0.0) -> MetricRow:
    return MetricRow(space, group, metric, value, 0.0, 0.0, 0.5, 0.1, z, 400)


def test_where_real_images_never_differ_being_near_them_is_no_merit():
    say = partial(image_sentences, spaces=[FeatureSpace("own", 64)], other_shares=False, constant=BesideMean(0.0, 0.0))
    (only,) = say([row("kid", 0.0, space="own"), row("kid", 0.0, space="own", group="a")])
    assert "says nothing" in only
    told, verdict = say([row("kid", math.inf, space="own")])
    assert told == only and verdict.startswith("Different from real images")


@pytest.mark.parametrize(
    ("generated", "mean", "verdict"),
    [
        (1.0, 2.0, "nearer than the mean image"), (2.0, 2.0, "no nearer than the mean image"),
        (0.0, 0.0, "no verdict"), (1.0, 0.0, "no verdict"), (math.nan, 2.0, "no verdict"),
    ],
)  # fmt: skip
def test_the_verdict_beside_the_mean_image_says_nearer_to_what(generated: float, mean: float, verdict: str):
    assert BesideMean(generated, mean).verdict == verdict


def test_sentences():
    say = partial(
        image_sentences, spaces=[FeatureSpace("pixels", 64), FeatureSpace("radiomics", 47)], other_shares=False
    )
    alike = [row("kid", 0.4), row("frechet", 2.9), row("kid", 1.0, space="radiomics"), row("coverage", 5.0)]
    (only,) = say(alike)
    assert only.startswith("Not distinguishable from real images in any of the spaces pixels, radiomics (n = 400")
    missing = [row("coverage", -9.0), row("recall", -4.0), row("recall", -2.0, space="radiomics")]
    collapsed = [row("kid", 4.0), *missing, row("ms_ssim", 8.0, space="images", value=0.9)]
    first, second = say([*collapsed, row("duplicates", np.inf, space="images", value=0.25)])
    assert first.startswith("Different") and "KID z = 4.0" in first and "radiomics notices nothing" in first
    assert "real images in pixels (coverage and recall);" in second
    assert "0.900 against 0.500" in second and "25.0% have a near duplicate" in second
    (_, training) = say([row("kid", 0.0), row("kid_of_training", 7.0)])
    assert training.startswith("The training images themselves differ") and "z = 7.0" in training


def test_z_scores_of_what_never_varies():
    assert z_score([1.0, 3.0], [0.0, 1.0, 2.0]) == pytest.approx(1.0)
    assert z_score([0.0], [0.0, 0.0]) == 0 and z_score([0.2], [0.0, 0.0]) == np.inf


def test_inception_score_of_one_class_is_below_that_of_real_images():
    real, generated = np.eye(3)[np.arange(90) % 3], np.eye(3)[np.zeros(60, int)]
    group = plan_groups(Sets([""] * 90, [""] * 60), seed=0).groups[0]
    found = measure_classes("own", real, generated, group)
    assert found.value == pytest.approx(1) and found.floor > 2 and found.noticed
