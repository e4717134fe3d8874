"""`--subdirs`: folders of a thousand, the same files in them, read back by other verbs as without."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from sfumato.commands import convert as converting
from sfumato.commands import evaluate_images, report, train
from sfumato.commands import generate as generating
from sfumato.commands import pair as pairing
from sfumato.commands import prepare as preparing
from sfumato.data.manifest import read_manifest
from sfumato.experiment.inference import SampleRequest
from sfumato.outputs.samples import sample_files

from .conftest import TINY


def test_no_folder_has_more_than_a_thousand() -> None:
    wanted = [SampleRequest(number, "ab"[number % 3 == 0], number) for number in range(12_345)]
    files = sample_files(wanted, channels=1, subdirs=True)
    assert max(Counter(Path(file).parent for file in files.values()).values()) <= 1000
    assert files[0] == "b/000000/000000.png" and files[11_999] == "a/011000/011999.png"
    assert files[12_344] == "a/012000/012344.png" and len(set(files.values())) == len(wanted)
    assert sample_files([SampleRequest(1_234_567, None, 0)], channels=1, subdirs=True) == {
        1_234_567: "unconditional/1234000/1234567.png"
    }


@pytest.fixture(scope="module")
def folders(generate_run: Path) -> tuple[Path, Path]:
    plain, deep = (generate_run.parent / f"subdirs-{name}" for name in ("no", "yes"))
    generating.generate(generate_run, out=plain, count=20)
    generating.generate(generate_run, out=deep, count=20, subdirs=True)
    return plain, deep


def test_the_same_images(folders: tuple[Path, Path]) -> None:
    plain, deep = (read_manifest(folder / "manifest.csv") for folder in folders)
    assert [Path(case.image).parent.name for case in deep] == ["000000"] * 20
    for one, other in zip(plain, deep, strict=True):
        assert (one.label, one.more["seed"]) == (other.label, other.more["seed"])
        assert Path(one.image).read_bytes() == Path(other.image).read_bytes()


def test_other_verbs_read_it(folders: tuple[Path, Path], dataset: Path, tmp_path: Path) -> None:
    _, deep = folders
    made = preparing.prepare(deep, out=tmp_path / "dataset", size="16")
    assert sum(made["cases"].values()) == 20 and list(made["classes"].values()) == [10, 10]
    assert converting.convert(deep, to="folder", out=tmp_path / "folder")["cases"] == 20
    found = evaluate_images.images(deep, dataset, out=tmp_path / "images", features="pixels")
    assert found["copies"]["images"] == 20
    report.report(deep, out=tmp_path / "page.html")
    assert "data:image/png" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_class_folders_without_the_manifest(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for folder in folders[1].iterdir():
        if (folder / "000000").is_dir():
            shutil.copytree(folder, tmp_path / "bare" / folder.name)
    made = preparing.prepare(tmp_path / "bare", out=tmp_path / "dataset", size="16")
    assert list(made["classes"].values()) == [10, 10] and {"grade 0", "grade 1"} == made["classes"].keys()


def test_pairs(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train.generate(dataset, out=run, pairs="joint", steps=2, batch=4, set=[*TINY, "sample.steps=2"])
    pairing.pair(run, out=tmp_path / "pairs", count=3, subdirs=True)
    cases = read_manifest(tmp_path / "pairs" / "manifest.csv")
    assert [Path(file).parent.name for case in cases for file in (case.image, *case.masks)] == ["000000"] * 6
    made = preparing.prepare(tmp_path / "pairs", out=tmp_path / "dataset", size="16")
    assert sum(made["cases"].values()) == 3 and made["readers"] == 1
