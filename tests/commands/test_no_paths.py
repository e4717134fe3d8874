"""Nothing that verbs write for passing on tells where anything lies: names of folders are looked for in every byte."""

import gzip
import json
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sfumato.cli import main
from sfumato.commands import evaluate, train
from sfumato.commands import generate as generating
from sfumato.commands import segment as segmenting
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.commands.flags.source import SourceFlags
from sfumato.data.dataset import Dataset
from sfumato.data.toys.messy import make_messy
from sfumato.errors import DataError
from sfumato.evaluation.prove.origin import trace
from sfumato.experiment.run import Run, load_model
from sfumato.local import LOCAL_FILE
from sfumato.recipe import load_recipe

from .conftest import TINY

WHO, WARD = "MUELLER_ANNA_19370419", "KLINIK_WARD7"
"""The folder of a patient, and one above everything that is written."""


def call(*words: object) -> None:
    """A command as it is typed; it must end well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["sfumato", *map(str, words)])
        try:
            main([str(word) for word in words])
        except SystemExit as stop:
            assert stop.code in (None, 0), words


def told(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file that may be passed on with its content, unpacked where it is packed."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != LOCAL_FILE):
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content += gzip.decompress(content)
        if content[:2] == b"PK":
            with zipfile.ZipFile(file) as archive:
                content += b"".join(name.encode() + archive.read(name) for name in archive.namelist())
        if content[:4] == b"\x89PNG":
            with Image.open(file) as image:
                image.load()
                content += repr(image.info).encode()
        yield file, content


def hits(folder: Path) -> list[str]:
    return [f"{file}: {name}" for file, content in told(folder) for name in (WHO, WARD) if name.encode() in content]


@pytest.fixture(scope="module")
def base(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BASE/WHO holds scans and outlines of a patient, BASE/WARD what is made of them."""
    base = tmp_path_factory.mktemp("base")
    (base / WARD).mkdir()
    for kind, source in (("images", "images"), ("masks", "masks/reader_0")):
        shutil.copytree(toy / source, base / WHO / kind)
    for number, image in enumerate(sorted((toy / "images").glob("*.png"))):
        place = base / WHO / "classes" / "ab"[number % 2] / image.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, place)
    return base


@pytest.fixture(scope="module")
def made(base: Path, segment_run: Path) -> Path:
    """All that the verbs write of it."""
    out, scans, masks, classes = (base / part for part in (WARD, f"{WHO}/images", f"{WHO}/masks", f"{WHO}/classes"))
    short = ["--steps", 2, "--batch", 4, *(word for setting in TINY for word in ("--set", setting))]
    call("prepare", scans, "--masks", masks, "--out", out / "dataset", "--size", 16)
    call("prepare", classes, "--out", out / "classes", "--size", 16)
    call("train", "segment", scans, "--masks", masks, "--out", out / "run", "--size", 16, "--twin", *short)
    call("train", "generate", out / "classes", "--out", out / "model", *short, "--set", "sample.steps=2")
    call("train", "segment", out / "dataset", "--out", out / "more", "--init", out / "run", *short)
    call("segment", out / "run", scans, "--out", out / "predictions", "--samples", 2, "--steps", 2)
    call("evaluate", "masks", out / "predictions", masks, "--out", out / "scores")
    call("generate", out / "model", "--out", out / "samples", "--count", 12, "--reject-copies", out / "classes")
    call("generate", out / "model", "--out", out / "mixed", "--balance", out / "classes", "--to", 10)
    call("evaluate", "images", out / "samples", classes, "--out", out / "images", "--features", "pixels")
    call("prove", out / "classes", out / "samples", "--out", out / "proof", "--seeds", 2, "--steps", 1, "--ratios", 0.5)
    call(
        "audit",
        shutil.copytree(segment_run, out / "taught"),
        "--out",
        out / "audit",
        "--calls",
        1,
        "--split",
        "validation",
        "--cases",
        2,
    )
    call("reconstruct", out / "model", classes, "--out", out / "rebuilt", "--count", 2)
    two = sorted(classes.rglob("*.png"))[:2]
    call("interpolate", out / "model", "--out", out / "between", "--images", *two, "--frames", 3)
    call("resume", out / "run", "--until-steps", 3)
    call("resume", out / "more" / "checkpoints" / "best", "--out", out / "branch", "--until-steps", 3)
    for form, name in (("folder", "folder"), ("nnunet", "Dataset001_x"), ("zip", "c.zip"), ("npz", "c.npz")):
        call("convert", out / "dataset", "--to", form, "--out", out / "given" / name)
    call("export", out / "run", "--to", "safetensors", "--out", out / "given" / "run.safetensors")
    call("reference", classes, "--out", out / "given" / "reference.npz")
    for folder in ("predictions", "scores", "images", "samples", "proof", "audit", "run", "more", "dataset", "rebuilt"):
        call("report", out / folder, "--out", out / "given" / f"{folder}.html")
    return out


def test_no_file_tells_where_anything_lies(made: Path) -> None:
    assert len(list(made.rglob("provenance.json"))) > 15 and hits(made) == []


def test_the_search_would_find_it(made: Path, base: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"path": str(base / WHO)}))
    assert len(hits(tmp_path)) == 1
    assert any(WHO in file.read_text() for file in made.rglob(LOCAL_FILE))


def test_what_tells_it_is_for_the_person_alone_and_never_given_away(made: Path) -> None:
    files = list(made.rglob(LOCAL_FILE))
    assert files and {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert not list((made / "given").rglob(LOCAL_FILE))


def test_a_check_and_its_copy_tell_files_as_seen_from_the_source(base: Path, tmp_path: Path) -> None:
    source, out = base / WHO / "messy", tmp_path / WARD
    out.mkdir()
    source.mkdir()
    make_messy(source, cases=40, size=24, seed=0)
    call("check", source, "--out", out / "check", "--fix-into", out / "fixed", "--report", out / "page.html")
    assert (out / "check" / "findings.csv").stat().st_size > 1000 and (out / "fixed" / "changes.csv").is_file()
    assert hits(out) == []
    assert "images/" in (out / "fixed" / "changes.csv").read_text()


def test_paths_that_are_typed_from_here_are_hidden_too(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base / WHO)
    out = tmp_path / "out"
    source = ["--size", 16, "--out"]
    short = ["--steps", 1, "--batch", 2, "--set", TINY[0], "--set", "sample.steps=1"]
    call("prepare", "images", "--masks", f"../{WHO}/masks", *source, out / "dataset")
    call("train", "segment", "images", "--masks", "masks", *source, out / "run", *short)
    assert hits(out) == []
    recipe = load_recipe("segment", out / "run" / "recipe.yaml")
    assert recipe.data.source.masks == str(base / WHO / "masks")


def test_originals_are_found_through_the_local_file_alone(made: Path, base: Path, tmp_path: Path) -> None:
    """Also where all of it is moved; without the file, training goes on and originals are refused in words."""
    dataset = made / "dataset"
    assert {Path(case.image).parent for case in Dataset.open(dataset).cases} == {base / WHO / "images"}
    moved = tmp_path / "moved"
    shutil.copytree(base, moved)
    there = moved / WARD / "dataset"
    assert {Path(case.image).parent for case in Dataset.open(there).cases} == {moved / WHO / "images"}
    segmenting.segment(made / "run", there, out=tmp_path / "a", split="test", sampling=SamplingFlags(steps=1))
    evaluate.masks(tmp_path / "a", there, out=tmp_path / "b")
    (there / LOCAL_FILE).unlink()
    assert {case.image[:6] for case in Dataset.open(there).cases} == {"local:"}
    train.segment(there, out=tmp_path / "run", steps=1, batch=2, set=[*TINY, "sample.steps=1"])
    for verb in (
        lambda: segmenting.segment(
            made / "run", there, out=tmp_path / "c", split="test", sampling=SamplingFlags(steps=1)
        ),
        lambda: evaluate.masks(tmp_path / "a", there, out=tmp_path / "d"),
    ):
        with pytest.raises(DataError, match="is not known here") as error:
            verb()
        assert error.value.code == "DATA-028"


def test_a_run_finds_its_dataset_and_its_model(made: Path, base: Path, tmp_path: Path) -> None:
    assert Run(made / "run").dataset == made / "run" / "dataset"
    assert Run(made / "run" / "twin").dataset == made / "run" / "dataset"
    assert Run(made / "model").dataset == made / "classes"
    project = tmp_path / "project"
    shutil.copytree(made, project)
    for file in project.rglob(LOCAL_FILE):
        file.unlink()
    assert Run(project / "model").dataset == project / "classes", "what lies beside it is found without the file"
    far = tmp_path / "far" / "deep" / "dataset"
    shutil.copytree(made / "classes", far)
    train.generate(far, out=tmp_path / "run", steps=1, batch=2, set=TINY)
    assert Run(tmp_path / "run").dataset == far and "far" not in (tmp_path / "run" / "run.json").read_text()
    train.resume(tmp_path / "run", until_steps=2)
    assert load_model(made / "run").recipe.data.source.masks is None, "a model is passed on"


def test_samples_are_followed_back_to_the_patients_they_saw(made: Path, tmp_path: Path) -> None:
    """As long as it is known where the dataset lies; and images are told from one another without their paths."""
    far = tmp_path / "far" / "deep" / "classes"
    shutil.copytree(made / "classes", far)
    train.generate(far, out=tmp_path / "run", steps=1, batch=2, set=[TINY[0], "sample.steps=1"])
    generating.generate(tmp_path / "run", out=tmp_path / "samples", count=4)
    cases = Dataset.open(made / "classes").cases
    tested = [case for case in cases if case.split == "train"][:2]
    assert trace(tmp_path / "samples", [case for case in cases if case.split == "test"]).datasets == (far,)
    for hidden in (False, True):
        if hidden:
            (far / LOCAL_FILE).unlink()
        with pytest.raises(DataError, match="2 of the 2 test cases"):
            trace(tmp_path / "samples", tested)
    (tmp_path / "run" / LOCAL_FILE).unlink()
    assert "not known" in trace(tmp_path / "samples", tested).told


def test_masks_of_a_recipe_are_found_again(made: Path, base: Path, tmp_path: Path) -> None:
    """`--recipe RUN/recipe.yaml` trains on the same source as it did."""
    file = made / "run" / "recipe.yaml"
    assert "masks: local:" in file.read_text()
    train.segment(base / WHO / "images", out=tmp_path / "run", recipe=file)
    assert len(Dataset.open(tmp_path / "run" / "dataset")) == len(Dataset.open(made / "run" / "dataset"))
    flags = SourceFlags(masks=base / WHO / "masks")
    assert train.segment(base / WHO / "images", flags=flags, out=tmp_path / "run", recipe=file)["step"] == 3, (
        "as resumed"
    )


def test_the_same_command_is_known_again(made: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (made / "predictions").rglob("*")}
    call("segment", made / "run", base / WHO / "images", "--out", made / "predictions", "--samples", 2, "--steps", 2)
    assert "is finished" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (made / "predictions").rglob("*")} == before
