"""Images of other channels than grey and RGB through the verbs: trained on, made, read back as they were, judged."""

from pathlib import Path

import numpy as np
import pytest
from tests.commands.conftest import TINY

from sfumato.commands import evaluate_images, generate, interpolate, pair, reconstruct, train
from sfumato.commands import prepare as preparing
from sfumato.commands import segment as segmenting
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.data.channels import read_case
from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import read_image
from sfumato.data.formats.provenance import read_origin
from sfumato.data.source import find_cases
from sfumato.experiment.inference import make
from sfumato.experiment.run import load_model
from sfumato.experiment.sample_requests import plan_images
from sfumato.reporting.page import write_report

CHANNELS, SIDE, CASES = 4, 16, 24


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of four channels with classes and masks."""
    folder = tmp_path_factory.mktemp("channels")
    rng = np.random.default_rng(0)
    masks = np.zeros((CASES, SIDE, SIDE), np.uint8)
    masks[:, 4:10, 5:12] = 1
    images = rng.integers(0, 80, (CASES, SIDE, SIDE, CHANNELS)) + masks[..., None] * [20, 60, 100, 140]
    np.savez(folder / "data.npz", images=images.astype(np.uint8), masks=masks, labels=np.arange(CASES) % 2)
    preparing.prepare(folder / "data.npz", out=folder / "dataset", size=str(SIDE))
    return folder / "dataset"


@pytest.fixture(scope="module")
def pair_run(data: Path) -> Path:
    """Images with masks, so both forms of a preview are drawn."""
    folder = data.parent / "pairs_run"
    train.generate(data, out=folder, steps=2, batch=4, pairs="joint", set=[*TINY, "sample.steps=2"])
    return folder


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    folder = data.parent / "run"
    train.generate(data, out=folder, steps=2, batch=4, set=[*TINY, "sample.steps=2"])
    return folder


@pytest.fixture(scope="module")
def samples(run: Path) -> Path:
    folder = run.parent / "samples"
    generate.generate(run, out=folder, count=16, sampling=SamplingFlags(steps=2))
    return folder


def test_what_is_made_is_read_back_as_it_was_made(run: Path, samples: Path) -> None:
    model = load_model(run)
    cases = find_cases(samples).cases
    assert len(cases) == 16 and {case.origin for case in cases} == {"synthetic"}
    wanted = plan_images(model.spec.classes, count=16, label=None, per_class=None, missing=None, seeds=None)
    made = {each.wanted.number: each.image for each in make(model, model.sampler(steps=2), wanted, batch=16)}
    for case in cases:
        assert np.array_equal(read_case(case), made[int(case.id.rpartition("/")[2])])
    said = read_origin(Path(cases[3].image))
    assert said["Synthetic"] == "true" and said["Model"] == model.sha256 and said["Seed"] == cases[3].more["seed"]
    assert (samples / "grids" / "16.png").is_file() and (samples / "progression.gif").is_file()


def test_samples_are_a_dataset_again(data: Path, samples: Path, tmp_path: Path) -> None:
    preparing.prepare(samples, out=tmp_path / "dataset")
    assert Dataset.open(tmp_path / "dataset").spec.channels == CHANNELS
    found = evaluate_images.images(samples, data, out=tmp_path / "images", features="radiomics,pixels,inception:none")
    assert any("inception sees grey and RGB" in note for note in found["notes"])
    assert (tmp_path / "images" / "copies.png").is_file()
    text = write_report([samples, data, tmp_path / "images"], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "cannot be shown" not in text and "pictures are missing" not in text


def test_enlarged_and_mixed_images_keep_their_channels(data: Path, run: Path, tmp_path: Path) -> None:
    generate.generate(run, out=tmp_path / "large", count=2, sampling=SamplingFlags(steps=1), size=24)
    assert {read_image(case.image).shape for case in find_cases(tmp_path / "large").cases} == {(24, 24, CHANNELS)}
    generate.generate(run, out=tmp_path / "mixed", balance=data, to=12, sampling=SamplingFlags(steps=1))
    found = find_cases(tmp_path / "mixed").cases
    real = [case for case in found if case.origin == "real"]
    dataset = Dataset.open(data)
    first = dataset.cases.index(next(case for case in dataset.cases if case.id == real[0].id))
    np.testing.assert_allclose(read_case(real[0]) / 127.5 - 1, dataset.images([first])[0].movedim(0, -1), atol=0.01)


def test_the_other_verbs(data: Path, run: Path, pair_run: Path, samples: Path, tmp_path: Path) -> None:
    reconstruct.reconstruct(run, samples, out=tmp_path / "again", count=2, sampling=SamplingFlags(steps=2))
    files = sorted(str(path) for path in samples.glob("*/*.tif"))
    interpolate.interpolate(
        run,
        out=tmp_path / "between",
        images=(Path(files[0]), Path(files[-1])),
        frames=3,
        sampling=SamplingFlags(steps=2),
    )
    pair.pair(pair_run, out=tmp_path / "pairs", count=3, sampling=SamplingFlags(steps=1))
    for folder, count in (("again", 2), ("between", 3), ("pairs", 3)):
        cases = find_cases(tmp_path / folder).cases
        assert {read_case(case).shape for case in cases} == {(SIDE, SIDE, CHANNELS)} and len(cases) == count
    assert (tmp_path / "again" / "sheet.png").is_file() and (tmp_path / "between" / "strip.png").is_file()
    assert (tmp_path / "pairs" / "pairs.png").is_file()


@pytest.mark.parametrize("channels", [2, 5])
def test_segmenters_of_any_channels_have_previews_and_overlays(channels: int, data: Path, tmp_path: Path) -> None:
    with np.load(data.parent / "data.npz") as arrays:
        images = np.concatenate([arrays["images"], arrays["images"]], axis=3)[..., :channels]
        np.savez(tmp_path / "data.npz", images=images, masks=arrays["masks"])
    preparing.prepare(tmp_path / "data.npz", out=tmp_path / "dataset", size=str(SIDE))
    found = train.segment(tmp_path / "dataset", out=tmp_path / "run", steps=2, batch=4, set=TINY)
    assert found["step"] == 2 and len(list((tmp_path / "run" / "samples").glob("*.png"))) == 1
    segmenting.segment(
        tmp_path / "run",
        tmp_path / "dataset",
        out=tmp_path / "out",
        split="test",
        sampling=SamplingFlags(steps=1),
        samples=1,
    )
    assert len(list((tmp_path / "out" / "overlay").glob("*.png"))) == 3
