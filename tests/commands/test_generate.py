"""Images on request: the asked classes, reproducible by seed, marked as synthetic, usable as a dataset."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sfumato.commands import generate as generating
from sfumato.commands import prepare as preparing
from sfumato.commands import report
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.errors import UsageError
from sfumato.experiment.run import load_model
from sfumato.experiment.sample_requests import parse_seeds, plan_images
from sfumato.outputs.samples import enlarged


@pytest.fixture(scope="module")
def samples(generate_run: Path) -> Path:
    out = generate_run.parent / "samples"
    generating.generate(generate_run, out=out, count=36, batch=10, size=24)
    return out


def test_files_manifest_and_metadata(samples: Path) -> None:
    with (samples / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36 and {row["origin"] for row in rows} == {"synthetic"}
    assert len({row["label"] for row in rows}) == 2
    for row in rows:
        with Image.open(samples / row["image"]) as image:
            assert image.size == (24, 24)
            assert image.text["Synthetic"] == "true"  # type: ignore[attr-defined]
            assert image.text["Seed"] == row["seed"] and image.text["Model"] == row["model"]  # type: ignore[attr-defined]
            assert image.text["Class"] == row["label"] == Path(row["image"]).parent.name  # type: ignore[attr-defined]
    assert {path.name for path in (samples / "grids").iterdir()} == {"16.png", "36.png"}
    with Image.open(samples / "progression.gif") as trajectory:
        assert trajectory.n_frames == 8, "4 steps: into noise and back"  # type: ignore[attr-defined]
    assert (samples / "progression.png").is_file() and len(list(samples.glob("class_*.png"))) == 2


def test_an_image_depends_on_its_seed_and_class_alone(generate_run: Path, samples: Path, tmp_path: Path) -> None:
    with (samples / "manifest.csv").open(newline="") as file:
        wanted = list(csv.DictReader(file))[7]
    generating.generate(
        generate_run, out=tmp_path / "one", count=1, class_=wanted["label"], seeds=wanted["seed"], size=24
    )
    one = (tmp_path / "one" / wanted["label"] / "000000.png").read_bytes()
    assert one == (samples / wanted["image"]).read_bytes()


def test_a_samples_folder_is_a_dataset(samples: Path, tmp_path: Path) -> None:
    result = preparing.prepare(samples, out=tmp_path / "dataset", size="16")
    assert sum(result["cases"].values()) == 36 and len(result["classes"]) == 2
    report.report(samples, out=tmp_path / "report.html")
    assert "<img" in (tmp_path / "report.html").read_text()


def test_plans() -> None:
    plan = plan_images(["a", "b"], count=3, label=None, per_class=None, seeds=[5, 7, 8])
    assert [(image.label, image.seed) for image in plan] == [("a", 5), ("b", 7), ("a", 8)]
    plan = plan_images(["a", "b"], per_class="b=2,unconditional=1")
    assert [image.label for image in plan] == ["b", "b", None]
    assert len(plan_images(["a"])) == 64 and [image.label for image in plan_images(["a"], missing=["a"])] == ["a"]
    with pytest.raises(UsageError, match="--count with --balance"):
        plan_images(["a"], count=2, missing=["a"])
    assert parse_seeds("0-3, 10") == [0, 1, 2, 3, 10]
    for wrong in ("x", "3-", "-1", "1;2"):
        with pytest.raises(UsageError):
            parse_seeds(wrong)
    with pytest.raises(UsageError, match="no class c"):
        plan_images(["a", "b"], count=1, label="c", per_class=None, seeds=None)


def test_there_are_as_many_images_as_seeds() -> None:
    plan = plan_images(["a", "b"], seeds=range(100))
    assert len(plan) == 100 and [image.seed for image in plan] == list(range(100))
    assert [(image.label, image.seed) for image in plan_images(["a", "b"], label="b", seeds=[7, 3])] == [
        ("b", 7),
        ("b", 3),
    ]
    assert (
        len(plan_images(["a"], per_class="a=2", seeds=[4, 5]))
        == len(plan_images(["a"], missing="aa", seeds=[0, 9]))
        == 2
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"count": 5}, "5 images with 3 seeds"),
        ({"count": 2}, "2 images with 3 seeds"),
        ({"count": 2, "label": "a"}, "2 images with 3 seeds"),
        ({"per_class": "a=1,b=1"}, "2 images with 3 seeds"),
        ({"per_class": "a=2,b=2"}, "4 images with 3 seeds"),
        ({"missing": ["a", "b"]}, "2 images with 3 seeds"),
    ],
)
def test_another_number_of_seeds_than_of_images_is_refused(words: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        plan_images(["a", "b"], **words, seeds=[1, 2, 3])


def test_seeds_alone_say_how_many(generate_run: Path, tmp_path: Path) -> None:
    made = generating.generate(generate_run, out=tmp_path / "out", seeds="0-69", dry_run=True)
    assert sum(made["images"].values()) == 70


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos"])
def test_enlarging_keeps_shape_and_mean(method: str) -> None:
    image = np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)
    larger = enlarged(image, 32, method)
    assert larger.shape == (32, 48, 3) and abs(float(larger.mean()) - float(image.mean())) < 4


def test_samplers_are_told_eta_and_churn(generate_run: Path, tmp_path: Path) -> None:
    model = load_model(generate_run)
    assert model.sampler(sampler="ddim", eta=0.5).options == {"eta": 0.5}
    assert model.sampler(sampler="heun", churn=3.0).options["churn"].amount == 3
    made = generating.generate(
        generate_run, out=tmp_path / "o", sampling=SamplingFlags(sampler="heun", churn=3.0), count=1, dry_run=True
    )
    assert made["network_calls"] == 7
    with pytest.raises(UsageError, match="heun knows no eta"):
        generating.generate(
            generate_run, out=tmp_path / "o", sampling=SamplingFlags(sampler="heun", eta=0.5), dry_run=True
        )
