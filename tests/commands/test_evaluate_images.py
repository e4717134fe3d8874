"""`evaluate images` and `reference`, from the command to the page."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.unit.evaluation.images.conftest import blobs, write

from sfumato.commands.evaluate_images import images
from sfumato.commands.reference import reference
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import find_cases
from sfumato.errors import DataError, UsageError
from sfumato.reporting.page import write_report


@pytest.fixture(scope="module", autouse=True)
def few_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sfumato.evaluation.images.spaces.CLASSIFIER_STEPS", 20)
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate_images") / "source"
    for kind in (0, 1):
        write(folder, blobs(120, seed=kind, kind=kind), "ab"[kind])
    return folder


@pytest.fixture(scope="module")
def real(source: Path) -> Path:
    for _ in prepare_cases(find_cases(source), source.parent / "real", PreparationSettings(size=(24, 24))):
        pass
    return source.parent / "real"


@pytest.fixture(scope="module")
def samples(source: Path) -> Path:
    """New images of both classes."""
    folder = source.parent / "samples"
    for kind in (0, 1):
        write(folder, blobs(30, seed=10 + kind, kind=kind), "ab"[kind])
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_files_and_page(samples: Path, real: Path, tmp_path: Path) -> None:
    told = images(samples, real, out=tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["kind"] == "images" and summary["generated"] == 60 and summary["reading"] == told["reading"]
    assert summary["compared_with"] == "all images of real" or "validation and test" in summary["compared_with"]
    measures = rows(tmp_path / "out" / "metrics.csv")
    assert list(measures[0]) == [
        "space", "class", "metric", "value", "low", "high", "floor", "floor_sd", "z", "n_real", "n_generated",
    ]  # fmt: skip
    assert {row["space"] for row in measures} == {"own", "radiomics", "pixels", "images"}
    assert {row["class"] for row in measures} == {"(all)", "a", "b"}
    assert len(summary["metrics"]) == len(measures)
    scores = rows(tmp_path / "out" / "scores.csv")
    assert len(scores) == 60 and {row["copy"] for row in scores} <= {"yes", "no"}
    assert scores[0]["file"] == "a/0000.png" and scores[0]["nearest_real"]
    assert {path.name for path in (tmp_path / "out" / "sheets").iterdir()} == {"a.png", "b.png"}
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["inputs"]["real"]["sha256"]
    page = write_report([tmp_path / "out"], tmp_path / "page.html").read_text()
    for words in ("Synthetic images beside real ones", summary["reading"][0], "The closest pairs", "Each class"):
        assert words.replace("'", "&#39;") in page


def test_a_source_as_it_is_with_copies_in_the_samples(samples: Path, source: Path, tmp_path: Path) -> None:
    """Real images that nobody prepared; samples without classes; copies are flagged."""
    bare = tmp_path / "samples"
    write(bare, np.concatenate([blobs(30, seed=0, kind=0), blobs(20, seed=77, kind=1)]))
    told = images(bare, source, out=tmp_path / "out", features="pixels")
    assert "the samples have no classes: only the whole sets are compared" in told["notes"]
    assert told["copies"]["copies"] >= 10  # those of the 30 that fell into the training part
    assert (tmp_path / "out" / "sheets" / "all.png").is_file() and (tmp_path / "out" / "copies.png").is_file()


def test_without_labels_without_copies_and_with_a_holdout(samples: Path, real: Path, tmp_path: Path) -> None:
    write(tmp_path / "plain", blobs(90, seed=3, kind=0))
    write(tmp_path / "more", blobs(60, seed=4, kind=0))
    told = images(samples, tmp_path / "plain", out=tmp_path / "out", copies=False, holdout=tmp_path / "more")
    assert any("needs labels" in note for note in told["notes"]) and set(told["spaces"]) == {"radiomics", "pixels"}
    assert told["compared_with"] == "all images of HOLDOUT" and told["copies"] is None
    assert "Copies were not searched for: --no-copies." in told["reading"]
    assert {row["copy"] for row in rows(tmp_path / "out" / "scores.csv")} == {""}


def test_statistics_instead_of_images(samples: Path, real: Path, tmp_path: Path) -> None:
    file = tmp_path / "stats.npz"
    about = reference(real, out=file, features="radiomics", real_split="train")
    assert about["space"] == "radiomics" and about["what"] == "train part of the source"
    alone = images(samples, out=tmp_path / "alone", reference=file)
    assert [row["metric"] for row in alone["metrics"]] == ["frechet_reference"] * 3 and alone["real"] is None
    both = images(samples, real, out=tmp_path / "both", reference=file, features="pixels", copies=False)
    values = [row["value"] for row in both["metrics"] if row["metric"] == "frechet_reference"]
    assert values == [row["value"] for row in alone["metrics"]]
    assert "Fréchet distance to the reference" in write_report([tmp_path / "alone"], tmp_path / "p.html").read_text()


def test_refusals(samples: Path, real: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to compare with"):
        images(samples, out=tmp_path / "out")
    with pytest.raises(UsageError, match="belong to REAL"):
        images(samples, out=tmp_path / "out", reference=tmp_path / "x.npz", holdout=real)
    with pytest.raises(UsageError, match="both say"):
        images(samples, real, out=tmp_path / "out", holdout=real, real_split="test")
    with pytest.raises(UsageError, match="--features own"):
        reference(real, out=tmp_path / "stats.npz", features="own")
    with pytest.raises(UsageError, match=r"ends in \.npz"):
        reference(real, out=tmp_path / "stats.csv")
    write(tmp_path / "few", blobs(5, seed=0, kind=0), "a")
    with pytest.raises(DataError, match="5 images are too few"):
        images(tmp_path / "few", real, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
