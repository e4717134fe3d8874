"""Reconstruction: little noise gives the image back, much noise another one; the same bytes in any company."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.commands.reconstruct import reconstruct
from sfumato.data.manifest import read_manifest
from sfumato.errors import UsageError
from sfumato.experiment.run import load_model

KINDS = ("input", "corrupted", "reconstructed", "difference")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(float)


def test_files_and_distances(generate_run: Path, dataset: Path, tmp_path: Path) -> None:
    result = reconstruct(generate_run, dataset, out=tmp_path / "out", noise=0.4, count=5)
    cases = read_manifest(tmp_path / "out" / "manifest.csv")
    assert len(cases) == result["images"] == 5 and {case.origin for case in cases} == {"synthetic"}
    for case in cases:
        given, corrupted, made, _ = (pixels(tmp_path / "out" / kind / f"{case.id}.png") for kind in KINDS)
        errors = np.abs(given - made) / 255
        errors = errors.mean(2) if errors.ndim == 3 else errors
        assert float(case.more["mean_absolute_error"]) == pytest.approx(errors.mean(), abs=1e-5)
        assert float(case.more["root_mean_square_error"]) == pytest.approx(np.sqrt((errors**2).mean()), abs=1e-5)
        assert np.abs(given - corrupted).mean() > 10
        with Image.open(tmp_path / "out" / "reconstructed" / f"{case.id}.png") as image:
            assert image.text["Synthetic"] == "true"  # type: ignore[attr-defined]
    assert (tmp_path / "out" / "sheet.png").is_file()


def test_less_noise_keeps_more(generate_run: Path, dataset: Path, tmp_path: Path) -> None:
    errors = [
        reconstruct(
            generate_run, dataset, out=tmp_path / str(noise), noise=noise, count=6, sampling=SamplingFlags(steps=8)
        )["mean_absolute_error"]
        for noise in (0.05, 0.4, 0.6, 1.0)
    ]
    assert errors == sorted(errors) and errors[0] < 0.01 and errors[-1] > 0.1


def test_the_same_bytes_in_any_company(generate_run: Path, dataset: Path, tmp_path: Path) -> None:
    for name, batch, count in (("a", 32, 24), ("b", 1, 3)):
        reconstruct(generate_run, dataset, out=tmp_path / name, count=count, batch=batch)
    files = [path.relative_to(tmp_path / "b") for path in (tmp_path / "b").rglob("*.png") if path.parent.name in KINDS]
    assert len(files) == 12
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


def test_the_way_starts_at_the_level(generate_run: Path) -> None:
    sampler = load_model(generate_run).sampler(steps=6)
    times = sampler.times
    assert sampler.below(1.5).times == (1.5, *times)
    between = (times[2] + times[3]) / 2
    assert sampler.below(between).times == (between, *times[3:])
    near = times[3] + (times[3] - times[4]) / 10
    assert sampler.below(near).times == (near, *times[4:]), "no tiny first step"
    assert sampler.below(times[-2] / 10).times == (times[-2] / 10, 0.0)


@pytest.mark.parametrize("noise", [0.0, -0.1, 1.01])
def test_a_level_that_is_none_is_refused(generate_run: Path, dataset: Path, tmp_path: Path, noise: float) -> None:
    with pytest.raises(UsageError, match="--noise"):
        reconstruct(generate_run, dataset, out=tmp_path / "out", noise=noise)


def test_a_model_of_masks_is_refused(segment_run: Path, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="trained to segment"):
        reconstruct(segment_run, dataset, out=tmp_path / "out")
