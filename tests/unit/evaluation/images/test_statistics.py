"""Statistics in a file: what EDM reads, what comes back, distances in closed form; wrong ones are refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.evaluation.images.conftest import blobs, write

from sfumato.data.dataset import Dataset
from sfumato.errors import DataError, UsageError
from sfumato.evaluation.images.read import gathered, real_images, sample_images
from sfumato.evaluation.images.spaces import FeatureSpaceSpec, make_space
from sfumato.evaluation.images.statistics import measure_reference, read_reference, reference_space, write_reference
from sfumato.metrics.fidelity import frechet
from sfumato.networks.foreign.inception import Inception


@pytest.mark.parametrize("kind", ["radiomics", "pixels"])
def test_what_is_written_comes_back_with_its_space(kind: str, dataset: Dataset, tmp_path: Path):
    space, real = (
        make_space(FeatureSpaceSpec(kind), dataset, device="cpu", seed=0),
        real_images(dataset, "all", name="real"),
    )
    about = write_reference(tmp_path / "stats.npz", space, real, dataset.spec)
    with np.load(tmp_path / "stats.npz") as stored:  # as EDM reads it
        features = space.features(real.fetch(range(len(real))))
        np.testing.assert_allclose(stored["mu"], features.mean(0), atol=1e-9)
        np.testing.assert_allclose(stored["sigma"], np.cov(features, rowvar=False), atol=1e-9)
        assert json.loads(str(stored["about"]))["classes"] == {"a": 300, "b": 300}
    reference = read_reference(tmp_path / "stats.npz")
    assert reference.about == json.loads(json.dumps(about)) and about["images"] == 600
    assert set(reference.classes) == {"a", "b"}
    for kind in (0, 1):
        write(tmp_path / "samples", blobs(30, seed=9, kind=kind), "ab"[kind])
    samples = sample_images(tmp_path / "samples", dataset.spec)
    again = reference_space(reference, (), device="cpu")
    rows = list(measure_reference(again, reference, samples, seed=0))
    assert [row.group for row in rows] == ["(all)", "a", "b"] and all(np.isnan(row.z) for row in rows)
    ours = np.concatenate(gathered(samples, space.features))
    assert rows[0].value == pytest.approx(frechet(ours, features), rel=1e-6)
    sides = [side[np.asarray(images.labels) == "b"] for side, images in ((ours, samples), (features, real))]
    assert rows[2].value == pytest.approx(frechet(*sides), rel=1e-6)
    assert rows[0].low < rows[0].value < rows[0].high and [row.images for row in rows] == [60, 30, 30]


def test_files_of_others_need_inception_of_the_same_size(tmp_path: Path, dataset: Dataset):
    np.savez(tmp_path / "edm.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    reference = read_reference(tmp_path / "edm.npz")
    assert not reference.about and not reference.classes
    with pytest.raises(UsageError, match="space of inception") as refused:
        reference_space(reference, [FeatureSpaceSpec("own")], device="cpu")
    assert "inception:FILE" in str(refused.value)
    small = make_space(FeatureSpaceSpec("pixels"), dataset, device="cpu", seed=0)
    write(tmp_path / "samples", blobs(10, seed=0, kind=0))
    with pytest.raises(DataError, match="2048 features"):
        list(measure_reference(small, reference, sample_images(tmp_path / "samples", dataset.spec), seed=0))


def test_other_weights_than_those_of_the_reference_are_refused(tmp_path: Path):
    torch.manual_seed(0)
    torch.save(Inception().state_dict(), tmp_path / "weights.pth")
    about = {"format": 1, "space": "inception", "sha256": "0" * 64}
    np.savez(tmp_path / "r.npz", mu=np.zeros(2048), sigma=np.eye(2048), about=np.array(json.dumps(about)))
    reference = read_reference(tmp_path / "r.npz")
    with pytest.raises(UsageError, match="other weights"):
        reference_space(reference, [FeatureSpaceSpec("inception", str(tmp_path / "weights.pth"))], device="cpu")


def test_damaged_files_are_refused(tmp_path: Path):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "half.npz", mu=np.zeros(3))
    np.savez(tmp_path / "shape.npz", mu=np.zeros(3), sigma=np.eye(4))
    for name, words in (("text", "no statistics"), ("half", "no statistics"), ("shape", "shape"), ("none", "no stat")):
        with pytest.raises(DataError, match=words):
            read_reference(tmp_path / f"{name}.npz")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mu": np.array([np.nan, 0.0])}, "NaN"),
        ({"sigma": np.full((2, 2), np.inf)}, "NaN or infinite"),
        ({"about": np.array("[" * 5000)}, "says of itself"),
        ({"about": np.array("[1]")}, "says of itself"),
        ({"class_mu": np.zeros((1, 2)), "class_sigma": np.zeros((1, 2, 2))}, "says of itself"),
    ],
)
def test_statistics_of_another_form_are_told(change: dict[str, np.ndarray], told: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "reference.npz", **{"mu": np.zeros(2), "sigma": np.eye(2), **change})
    with pytest.raises(DataError, match=told):
        read_reference(tmp_path / "reference.npz")
