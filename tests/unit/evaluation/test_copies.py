"""Copies are flagged, new images are not, and without held-out images nothing is claimed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage, stats

from sfumato.data.dataset import Dataset, OriginalSize
from sfumato.data.intensity import Intensity
from sfumato.data.manifest import Case
from sfumato.data.spec import Spec
from sfumato.errors import DataError
from sfumato.evaluation.copies import CopyDetector, audit_copies, closest_pairs
from sfumato.evaluation.copies.audit import _distances, rank_z
from sfumato.evaluation.copies.detector import _calibrated, _cut
from sfumato.evaluation.copies.sheet import _order
from sfumato.metrics.copies import Matches, View

SIDE = 20
SPLITS = ("train",) * 150 + ("validation",) * 60 + ("test",) * 60


def textures(count: int, *, seed: int) -> np.ndarray:
    """Pictures (n, h, w, 1) that share their coarse shape, as those of one organ do."""
    rng = np.random.default_rng(seed)
    shape = ndimage.gaussian_filter(np.random.default_rng(99).normal(size=(SIDE, SIDE)), 4)
    fine = ndimage.gaussian_filter(rng.normal(size=(count, SIDE, SIDE)), (0, 1.2, 1.2))
    mixed = shape / shape.std() + 0.8 * fine / fine.std()
    return (128 + 35 * mixed).clip(0, 255).astype(np.uint8)[..., None]


def pack_of(images: np.ndarray, splits: Sequence[str], patients: Sequence[str | None] | None = None) -> Dataset:
    spec = Spec(
        size=(images.shape[1], images.shape[2]), channels=images.shape[3], dtype="uint8",
        intensity=Intensity("unit", 0.0, 255.0, ""),
    )  # fmt: skip
    people = patients or [None] * len(images)
    cases = [Case(id=f"case{row}", image="-", split=split, patient=people[row]) for row, split in enumerate(splits)]
    return Dataset(spec, cases, [OriginalSize(spec.size)] * len(cases), images, None)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return pack_of(textures(len(SPLITS), seed=0), SPLITS)


@pytest.fixture(scope="module")
def detector(dataset: Dataset) -> CopyDetector:
    return CopyDetector.of(dataset)


def known(dataset: Dataset, count: int = 60) -> np.ndarray:
    return ((dataset.images(range(count)).numpy() + 1) * 127.5).round().astype(np.uint8).transpose(0, 2, 3, 1)


def moved(images: np.ndarray, pixels: int) -> np.ndarray:
    return ndimage.shift(images, (0, pixels, -pixels, 0), order=0, mode="nearest")


def windowed(images: np.ndarray) -> np.ndarray:
    return ((images - 40.0) * 1.4).clip(0, 255).astype(np.uint8)


def noisy(images: np.ndarray) -> np.ndarray:
    return (images + np.random.default_rng(5).normal(0, 5, images.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda x: x, 0.97),
        (lambda x: moved(x, 1), 0.97),
        (lambda x: moved(x, 2), 0.97),
        (lambda x: x[:, :, ::-1], 0.97),
        (windowed, 0.97),
        (noisy, 0.9),
        (lambda x: ndimage.rotate(x, 4, axes=(1, 2), reshape=False, order=3, mode="nearest"), 0.9),
        (lambda x: moved(x, 1)[:, :, ::-1] // 2, 0.97),
    ],
)
def test_copies_are_flagged_with_their_case(detector: CopyDetector, dataset: Dataset, change, least: float) -> None:  # type: ignore[no-untyped-def]
    verdicts = detector.find_copies(np.ascontiguousarray(change(known(dataset))))
    assert np.mean([verdict.copy for verdict in verdicts]) >= least
    assert np.mean([verdict.nearest == f"case{row}" for row, verdict in enumerate(verdicts)]) >= least


def test_a_changed_copy_of_an_unusual_image_is_found_among_images_that_are_much_alike() -> None:
    alike, rng = textures(300, seed=8) // 8 + textures(1, seed=9) // 8 * 7, np.random.default_rng(7)
    unusual = rng.integers(0, 256, (40, SIDE, SIDE, 1)).astype(np.uint8)
    images = np.concatenate([alike[:180], unusual, alike[180:]])
    detector = CopyDetector.of(pack_of(images, ["train"] * 220 + ["test"] * 120), false_alarms=0.02)
    assert detector.threshold is not None and detector.threshold > 0.98
    blurred = (0.8 * unusual + 0.2 * rng.integers(0, 256, unusual.shape)).astype(np.uint8)
    verdicts = detector.find_copies(blurred)
    assert max(verdict.score for verdict in verdicts) < detector.threshold
    assert all(verdict.copy and verdict.lead > 0.8 for verdict in verdicts)


def test_new_images_are_hardly_flagged(detector: CopyDetector) -> None:
    verdicts = detector.find_copies(textures(300, seed=1))
    assert detector.held_out == 120 and detector.rate is not None
    assert sum(bool(verdict.copy) for verdict in verdicts) <= stats.binom.ppf(0.999, 300, detector.rate.high)


def test_without_held_out_images_nothing_is_claimed(dataset: Dataset) -> None:
    alone = pack_of(textures(20, seed=0), ["train"] * 20)
    detector = CopyDetector.of(alone)
    assert detector.threshold is None and detector.rate is None and detector.held_out == 0
    found = audit_copies(detector, known(alone, 5))
    assert {verdict.copy for verdict in found.verdicts} == {None}
    assert found.copies is None and found.share is None and found.chance is None
    assert found.reading[0].startswith("No verdict on copies: no held-out real images")
    assert not [line for line in found.reading if "nearest training image" in line], "no number without its control"
    assert np.isnan(found.authenticity_real) and np.isnan(found.distance_z) and found.authenticity == 0


def test_held_out_images_that_are_training_images_are_left_out_and_counted() -> None:
    images = textures(len(SPLITS), seed=0)
    images[150:157] = images[:7]
    images[157] = images[8, :, ::-1]
    detector = CopyDetector.of(pack_of(images, SPLITS))
    assert detector.held_out == 112
    assert "8 held-out images are also in the training split and were left out" in detector.notes
    assert detector.threshold is not None and detector.threshold < 0.99


def test_patients_of_the_training_split_are_left_out_and_counted() -> None:
    patients = [f"p{row}" for row in range(len(SPLITS))]
    patients[150:160] = patients[:10]
    detector = CopyDetector.of(pack_of(textures(len(SPLITS), seed=0), SPLITS, patients))
    assert detector.held_out == 110
    assert detector.notes == ("10 held-out images show patients of the training split and were left out",)


def test_synthetic_images_show_no_patient(dataset: Dataset) -> None:
    cases = [replace(case, origin="synthetic" if row % 2 else "real") for row, case in enumerate(dataset.cases)]
    mixed = Dataset(
        dataset.spec, cases, [OriginalSize(dataset.spec.size)] * len(cases), textures(len(SPLITS), seed=0), None
    )
    detector = CopyDetector.of(mixed)
    assert len(detector.rows) == 75 and detector.held_out == 60
    verdicts = detector.find_copies(known(dataset, 20))
    assert [verdict.score > 0.999 for verdict in verdicts] == [True, False] * 10


def test_other_real_images_can_be_held_out(dataset: Dataset) -> None:
    detector = CopyDetector.of(dataset, holdout=pack_of(textures(40, seed=2), ["train"] * 40))
    assert detector.held_out == 40 and "40 held-out images are few" in detector.why
    with pytest.raises(DataError, match="held-out images have the size"):
        CopyDetector.of(dataset, holdout=pack_of(textures(4, seed=2)[:, :-1], ["train"] * 4))
    with pytest.raises(DataError, match="no real image of the data set is in its training split"):
        CopyDetector.of(pack_of(textures(4, seed=2), ["test"] * 4))
    with pytest.raises(DataError, match="height, width and channels"):
        detector.find_copies(np.zeros((1, SIDE, SIDE, 3), np.uint8))


def test_thresholds_are_cut_off_in_turn() -> None:
    scores, leads = np.array([0.9, 0.8, 0.7, 0.6, 0.1]), np.array([0.95, 0.2, 0.1, 0.4, 0.3])
    assert _cut(scores, leads, 1) == (0.9, np.inf)
    assert _cut(scores, leads, 2) == (0.9, 0.4)
    assert _cut(scores, leads, 4) == (0.8, 0.3)


def test_held_out_images_that_are_nearly_training_images_make_the_threshold_blunt() -> None:
    scores, leads = np.linspace(0.5, 0.9, 120), np.zeros(120)
    several = np.append(scores, [0.9995] * 3), np.append(leads, [0.0] * 3)
    for (score, lead), blunt in (((scores, leads), False), (several, True)):
        cut = _calibrated(Matches(score, np.zeros(len(score), np.int64), (View(),) * len(score), lead), 0.01)
        assert ("only exact copies reach it" in cut.why) == blunt


def test_where_held_out_images_correlate_alike_no_threshold_parts_them() -> None:
    def calibrated(score: list[float]):  # type: ignore[no-untyped-def]
        count = len(score)
        zeros = np.zeros(count, np.int64)
        return _calibrated(Matches(np.array(score), zeros, (View(),) * count, np.linspace(0, 0.5, count)), 0.01)

    black = calibrated([0.0] * 24)
    assert black.score is None and black.rate is None and "24 of 24 correlate alike" in black.why
    tied = calibrated([0.1] * 16 + [0.6] * 4)
    assert tied.score == 0.6 and tied.rate is not None and tied.rate.value == 4 / 21, "each of the four is reached"


def test_the_share_of_false_alarms_follows_its_law() -> None:
    rng, rates = np.random.default_rng(0), []
    for _ in range(400):
        scores = rng.uniform(-1, 1, (2, 50))
        leads = (0.7 * scores + 0.3 * rng.uniform(-1, 1, (2, 50))).clip(0, 1)
        matches = Matches(scores[0], np.zeros(50, np.int64), (View(),) * 50, leads[0])
        cut = _calibrated(matches, 0.08)
        rates.append(np.mean((scores[1] >= cut.score) | (leads[1] >= cut.lead)))
    law = stats.beta(4, 47)
    assert cut.rate is not None and cut.rate == pytest.approx((4 / 51, *law.interval(0.95)))
    assert np.mean(rates) == pytest.approx(law.mean(), abs=4 * np.std(rates) / 20)


def test_an_audit_counts_copies_cases_and_patients(dataset: Dataset) -> None:
    patients = [f"p{row // 2}" for row in range(len(SPLITS))]
    patients[150:] = [f"q{row}" for row in range(120)]
    detector = CopyDetector.of(pack_of(textures(len(SPLITS), seed=0), SPLITS, patients))
    images = np.concatenate([known(dataset, 20)[:, :, ::-1], known(dataset, 20), textures(40, seed=3)])
    found = audit_copies(detector, images)
    assert found.images == 80 and found.copies is not None and 40 <= found.copies <= 43
    assert found.share is not None and found.share.low < 0.5 <= found.share.value < found.share.high < 0.65
    assert found.sources - 20 <= found.copies - 40 and found.patients is not None and 10 <= found.patients <= 13
    assert found.chance is not None and found.chance < 1e-6
    assert found.authenticity < 0.55 and abs(found.authenticity_real - 0.5) < 0.35 and found.distance_z < -3
    assert "are flagged as copies" in found.reading[0] and "too many to be false alarms" in found.reading[0]


def test_no_copy_found_is_not_no_copies(detector: CopyDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, SIDE, SIDE, 1)).astype(np.uint8)
    found = audit_copies(detector, noise)
    assert found.copies == 0 and found.share is not None and found.share.high == pytest.approx(1 - 0.025 ** (1 / 30))
    assert "0 of 30 images are flagged" in found.reading[0] and "(95% interval up to 11.6%)" in found.reading[0]
    assert "no proof" in found.reading[0] and found.distance_z > 3
    assert found.chance == 1.0


def test_a_few_flags_may_be_false_alarms(detector: CopyDetector, dataset: Dataset) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (99, SIDE, SIDE, 1)).astype(np.uint8)
    found = audit_copies(detector, np.concatenate([noise, known(dataset, 1)]))
    assert found.copies == 1 and found.chance == pytest.approx(stats.betabinom.sf(0, 100, 1, 120))
    assert "no more than false alarms explain" in found.reading[0]


def test_nothing_is_no_set(detector: CopyDetector) -> None:
    with pytest.raises(DataError, match="no image to compare"):
        audit_copies(detector, np.zeros((0, SIDE, SIDE, 1), np.uint8))


def test_rank_z_is_that_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(0)
    ours, others = rng.normal(0, 1, 30), rng.normal(1, 1, 50)
    p = stats.mannwhitneyu(ours, others, method="asymptotic", use_continuity=False).pvalue
    assert rank_z(ours, others) == pytest.approx(-stats.norm.isf(p / 2), abs=1e-9)
    assert rank_z(ours, others) == -rank_z(others, ours)


def test_the_sheet_shows_copies_above_their_originals(detector: CopyDetector, dataset: Dataset) -> None:
    images = np.concatenate([textures(8, seed=4), known(dataset, 3)[:, :, ::-1]])
    found = audit_copies(detector, images)
    sheet = closest_pairs(detector, images, found, count=9)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    one = closest_pairs(detector, images, found, count=1)
    assert 1.5 < sheet.shape[0] / one.shape[0] < 2.5 and sheet.shape[1] > 4 * 200
    tile = one[:, -200:].astype(int)
    above, below = tile[:198], tile[206:404]
    assert np.abs(above - below)[20:-20, 20:-20].mean() < 3


def test_the_sheet_shows_each_training_image_before_any_twice() -> None:
    score, row = np.array([0.7, 0.9, 0.8, 0.95, 0.6]), np.array([3, 1, 1, 1, 2])
    assert _order(Matches(score, row, (View(),) * 5, score)) == [3, 0, 4, 1, 2]


def test_pictures_of_other_channels_and_sizes_have_a_sheet() -> None:
    images = np.repeat(textures(30, seed=6), 5, axis=0).reshape(30, 5, SIDE, SIDE).transpose(0, 2, 3, 1).copy()
    detector = CopyDetector.of(pack_of(images, ["train"] * 20 + ["test"] * 10))
    found = audit_copies(detector, images[:2])
    assert closest_pairs(detector, images[:2], found).shape[2] == 3
    large = pack_of(np.kron(textures(6, seed=7), np.ones((1, 4, 4, 1), np.uint8)), ["train"] * 6)
    assert CopyDetector.of(large).held_out == 0


def test_a_detector_that_is_changed_keeps_the_rest(detector: CopyDetector) -> None:
    assert replace(detector, threshold=None).verdicts(detector.held_out_matches)[0].copy is None


def test_where_held_out_images_are_all_alike_distances_say_nothing() -> None:
    grey = np.full((len(SPLITS), SIDE, SIDE, 1), 100, np.uint8)
    detector = CopyDetector.of(pack_of(grey, SPLITS))
    for images in (grey[:20], textures(20, seed=5)):
        found = audit_copies(detector, images)
        assert found.copies is None
        assert not [line for line in found.reading if "training images than" in line or "nearest training" in line]


@pytest.mark.parametrize(("z", "told"), [(-2.8, "is not shown (z = -2.8; 3 is asked for)"), (3.1, "lie farther from")])
def test_what_is_not_shown_is_not_said_to_be_equal(z: float, told: str) -> None:
    assert told in _distances(z)
