"""Interpolation: its ends are the ends, its states keep their variance, its classes switch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.commands import generate as generating
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.commands.interpolate import interpolate
from sfumato.data.manifest import read_manifest
from sfumato.errors import UsageError
from sfumato.experiment.run import load_model
from sfumato.experiment.sampling import Drawing
from sfumato.verbs.interpolate import _between_seeds


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(float)


def test_the_ends_are_the_images_of_the_seeds(generate_run: Path, tmp_path: Path) -> None:
    first, second = load_model(generate_run).spec.classes[:2]
    interpolate(generate_run, out=tmp_path / "out", seeds="3,7", frames=5, class_=f"{first},{second}", batch=2)
    cases = read_manifest(tmp_path / "out" / "manifest.csv")
    assert [case.label for case in cases] == [first] * 3 + [second] * 2
    assert [float(case.more["weight"]) for case in cases] == [0, 0.25, 0.5, 0.75, 1]
    for seed, label, number in (("3", first, 0), ("7", second, 4)):
        generating.generate(generate_run, out=tmp_path / seed, count=1, seeds=seed, class_=label)
        image = next((tmp_path / seed / label).glob("*.png"))
        assert np.array_equal(pixels(image), pixels(tmp_path / "out" / f"{number:03}.png"))
    with Image.open(tmp_path / "out" / "interpolation.gif") as trajectory:
        assert trajectory.n_frames == 8, "there and back"  # type: ignore[attr-defined]
    assert (tmp_path / "out" / "strip.png").is_file()


def test_the_states_keep_their_variance(generate_run: Path) -> None:
    model = load_model(generate_run)
    weights = [0.0, 0.1, 0.5, 0.8, 1.0]
    drawing = Drawing.of(model, model.sampler())
    pairs = [_between_seeds(model, drawing, [2 * k, 2 * k + 1], weights) for k in range(40)]
    spread = torch.stack(pairs, 1).flatten(1).std(1)
    assert spread / spread[0] == pytest.approx(np.ones(5), abs=0.03)


def test_between_images(generate_run: Path, dataset: Path, toy: Path, tmp_path: Path) -> None:
    pictures = sorted((toy / "images").glob("*.png"))[:2]
    ends = (pictures[0], pictures[1])
    interpolate(generate_run, out=tmp_path / "near", images=ends, noise=0.05, frames=3, sampling=SamplingFlags(steps=6))
    made = [pixels(tmp_path / "near" / f"{number:03}.png") for number in range(3)]
    given = [np.asarray(Image.open(path).resize((16, 16), Image.Resampling.BOX)).astype(float) for path in ends]
    for mine, end in zip((made[0], made[-1]), given, strict=True):
        assert np.abs(mine - end).mean() < 8
    assert np.abs(made[1] - (made[0] + made[2]) / 2).mean() < 3, "little noise: half of each"


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        ({}, "nothing to go between"),
        ({"seeds": "3"}, "--seeds 3"),
        ({"seeds": "1,2,3"}, "--seeds 1,2,3"),
        ({"seeds": "1,2", "noise": 0.5}, "--noise is for --images"),
        ({"seeds": "1,2", "frames": 1}, "--frames 1"),
        ({"seeds": "1,2", "class_": "nobody"}, "no class nobody"),
        ({"images": (Path("a.png"), Path("b.png")), "seeds": "1,2"}, "--seeds 1,2"),
        ({"images": (Path("a.png"), Path("b.png")), "noise": 2.0}, "--noise 2"),
    ],
)
def test_wrong_words(generate_run: Path, tmp_path: Path, words: dict[str, object], finding: str) -> None:
    with pytest.raises(UsageError, match=finding):
        interpolate(generate_run, out=tmp_path / "out", **words)  # type: ignore[arg-type]
