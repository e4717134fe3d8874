"""The classifier of the user's own labels, and the space of features that it makes."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from sfumato.data.augmentation.ranges import PRESETS
from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import write_image
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import find_cases
from sfumato.metrics.fidelity import kid
from sfumato.networks.classifier import Classifier
from sfumato.tasks.classify import Classify, OwnSpace, class_probabilities, fit_classifier
from sfumato.training.data_order import Batch


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Squares in the upper half are of class a, in the lower half of class b."""
    folder = tmp_path_factory.mktemp("classify")
    rng = np.random.default_rng(0)
    for k in range(60):
        image = rng.integers(0, 60, (16, 16), dtype=np.uint8)
        row, column = int(rng.integers(0, 4)) + 8 * (k % 2), int(rng.integers(0, 12))
        image[row : row + 4, column : column + 4] = 230
        path = folder / "images" / "ab"[k % 2] / f"{k:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, image[..., None])
    for _ in prepare_cases(find_cases(folder / "images"), folder / "dataset", PreparationSettings(size=(16, 16))):
        pass
    return Dataset.open(folder / "dataset")


@pytest.mark.slow
def test_learns_what_distinguishes_the_classes_and_repeats_itself(dataset: Dataset):
    fitted = [fit_classifier(dataset, augment=PRESETS["none"], steps=60, batch=16, seed=3) for _ in range(2)]
    rows = [*dataset.rows("validation"), *dataset.rows("test")]
    scores = fitted[0](dataset.images(rows))
    assert (scores.argmax(1) == dataset.labels(rows)).float().mean() > 0.9
    assert all(torch.equal(a, b) for a, b in zip(*(each.parameters() for each in fitted), strict=True))


def test_own_space_is_scaled_on_real_images_and_sees_a_missing_class(dataset: Dataset):
    space = OwnSpace(
        fit_classifier(dataset, augment=PRESETS["none"], steps=40, batch=16), dataset.images(range(len(dataset)))
    )
    features = space.features(dataset.images(range(len(dataset))))
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(features.std(0).max(), 1, rtol=1e-3)
    labels = dataset.labels(range(len(dataset)))
    half, other, same = features[labels == 0], features[labels == 1][::2], features[labels == 1][1::2]
    assert kid(half, other) > 10 * abs(kid(same, other))


@pytest.mark.parametrize("size", [(16, 16), (7, 33)])
def test_any_size_and_channels(size: tuple[int, int]):
    network = Classifier(channels_in=3, classes=5, channels=16)
    assert network(torch.zeros(2, 3, *size)).shape == (2, 5)
    assert network.features(torch.zeros(2, 3, *size)).shape == (2, 32)


def test_needs_labels(dataset: Dataset):
    unlabelled = copy(dataset)
    unlabelled.spec = replace(dataset.spec, classes=())
    with pytest.raises(ValueError, match="with labels"):
        fit_classifier(unlabelled, augment=PRESETS["none"], steps=1)


def test_class_weights_scale_the_loss_of_their_class(dataset: Dataset):
    network = Classifier(channels_in=1, classes=2)
    train = dataset.rows("train")
    batch = Batch(0, (0, 1, 2, 3), (*train[:2], *train[-2:]))  # two of each class
    plain, weighted = (
        Classify(dataset=dataset, augment=PRESETS["none"], seed=0, weights=weights).loss(network, batch)["loss"]
        for weights in (None, (2.0, 0.5))
    )
    expected = plain * torch.tensor([2.0, 0.5])[dataset.labels(batch.rows)]
    torch.testing.assert_close(weighted, expected)


def test_probabilities_of_each_row_are_those_of_the_network(dataset: Dataset, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sfumato.tasks.classify.FEATURE_BATCH", 4)
    network = Classifier(channels_in=1, classes=2).eval()
    rows = dataset.rows("train")[:10]
    torch.testing.assert_close(class_probabilities(network, dataset, rows), network(dataset.images(rows)).softmax(1))
