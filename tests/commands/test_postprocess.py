"""`sfumato segment --postprocess auto`: masks repaired as validation chose, and nothing else of what is written."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from sfumato import segment
from sfumato.commands import exchange
from sfumato.commands import segment as segmenting
from sfumato.commands import toy as toys
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import read_mask
from sfumato.data.formats.provenance import read_origin
from sfumato.data.placement import Canvas
from sfumato.data.source import find_cases
from sfumato.data.spec import Intensity, Spec
from sfumato.data.units import units
from sfumato.errors import ModelError, UsageError
from sfumato.evaluation import postprocess, postprocess_choice, validation_cases
from sfumato.evaluation.postprocess import ChosenRepair, Postprocessing, Repair
from sfumato.experiment.inference import Ensemble, predict
from sfumato.experiment.run import load_model
from sfumato.metrics.ensemble import mean_probability
from sfumato.outputs.predictions import Writer, Writing

GONE = Postprocessing(chosen=(ChosenRepair(Repair(1, "least", 10**6), 0.25, 4, 1),), cases=5)
"""A choice that leaves nothing of class 1."""

TWO = SamplingFlags(steps=2)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def run(segment_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose few validation cases are enough to choose by."""
    monkeypatch.setattr(postprocess, "FEWEST_CASES", 3)
    monkeypatch.setattr(validation_cases, "FEWEST_CASES", 3)
    return Path(shutil.copytree(segment_run, tmp_path / "run"))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The models of which it is measured what helps; it is `GONE`."""
    models = list[Path]()

    def found(model: Any, *_: object, **__: object) -> Postprocessing:
        models.append(Path(model.name))
        return GONE

    monkeypatch.setattr(postprocess_choice, "measure_postprocessing", found)
    return models


def test_masks_alone_are_repaired(run: Path, dataset: Path, tmp_path: Path, measured: list[Path]) -> None:
    for name, how in (("drawn", "none"), ("repaired", "auto")):
        segmenting.segment(
            run, dataset, out=tmp_path / name, split="test", samples=2, sampling=TWO, postprocess=how,
            save="probability,uncertainty,information,members",
        )  # fmt: skip
    assert measured == [run, run / "twin"]
    drawn, repaired = (files(tmp_path / name) for name in ("drawn", "repaired"))
    assert drawn.keys() == repaired.keys()
    changed = {Path(name).parts[0] for name in drawn if drawn[name] != repaired[name]} - {"twin"}
    assert changed == {"masks", "manifest.csv", "summary.json", "provenance.json", "local.json"}
    differing = set()
    for before, after in zip(rows(tmp_path / "drawn"), rows(tmp_path / "repaired"), strict=True):
        differing |= {name for name in before if before[name] != after[name]}
        mask = read_mask(str(tmp_path / "repaired" / after["mask"]))
        assert not mask.any() and float(after["area"]) == 0
        said = [read_origin(tmp_path / name / after["mask"]).get("Postprocessing") for name in ("drawn", "repaired")]
        assert said[0] is None and "below 1000000 pixels" in str(said[1])
    assert "area" in differing and differing <= {"area", "seconds"}


def test_it_is_told_and_only_where_asked(
    run: Path, dataset: Path, tmp_path: Path, measured: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    plain = segmenting.segment(run, dataset, out=tmp_path / "drawn", split="test", samples=2, sampling=TWO)
    asked = json.loads((tmp_path / "drawn" / "provenance.json").read_text())["asked"]
    assert not measured and "postprocess" not in plain and "postprocess" not in asked
    told = segmenting.segment(
        run, dataset, out=tmp_path / "repaired", split="test", samples=2, sampling=TWO, postprocess="auto"
    )
    line = " ".join(capsys.readouterr().err.split())
    assert "masks are post-processed as chosen on 5 validation cases" in line
    assert "Dice +0.250, 4 higher, 1 lower" in line
    (step,) = told["postprocess"]["steps"]
    assert step["kind"] == "least" and step["gain"] == 0.25 and told["postprocess"]["validation_cases"] == 5
    assert json.loads((tmp_path / "repaired" / "twin" / "summary.json").read_text())["postprocess"]["steps"] == [step]
    words = GONE.words(load_model(run).spec.mask_classes)
    asked = json.loads((tmp_path / "repaired" / "provenance.json").read_text())["asked"]
    assert asked["postprocess"] == {"model": words, "twin": words}


def test_it_is_measured_once_and_goes_with_the_model(
    run: Path, dataset: Path, tmp_path: Path, measured: list[Path]
) -> None:
    loaded = load_model(run)
    results = [
        segment(model, dataset, out=tmp_path / name, split="test", samples=2, postprocess="auto").summary
        for name, model in (("a", run), ("b", run), ("c", loaded))
    ]
    assert measured == [run, run / "twin"] and all(each["postprocess"] == results[0]["postprocess"] for each in results)
    exchange.export(run, to="safetensors", out=tmp_path / "lone.safetensors")
    lone = segment(tmp_path / "lone.safetensors", dataset, out=tmp_path / "d", split="test", samples=2,
                   postprocess="auto")  # fmt: skip
    assert lone.summary["postprocess"] == results[0]["postprocess"]
    segment(run, dataset, out=tmp_path / "e", split="test", samples=3, postprocess="auto")
    assert measured == [run, run / "twin", run], "another way of drawing; the twin draws as before"


def test_what_was_kept_of_it_is_read_as_anyones_words(run: Path, measured: list[Path]) -> None:
    sha256 = load_model(run).sha256
    impossible = {"chosen": [{**GONE.to_dict()["chosen"][0], "kind": "__class__"}], "cases": 5}
    (run / "measured.json").write_text(json.dumps({sha256: {"postprocess": {"way": impossible}}}))
    with pytest.raises(ModelError, match=r"what was measured of .*postprocess.*kind"):
        load_model(run)


def test_shards_go_on_only_with_the_same_repairs(
    run: Path, dataset: Path, tmp_path: Path, measured: list[Path]
) -> None:
    asked = {"out": tmp_path / "out", "split": "test", "samples": 2, "sampling": TWO}
    segmenting.segment(run, dataset, **asked, shard="0/2")
    with pytest.raises(UsageError, match="postprocess: None then"):
        segmenting.segment(run, dataset, **asked, shard="1/2", postprocess="auto")


def test_a_dry_run_measures_nothing(run: Path, dataset: Path, tmp_path: Path, measured: list[Path]) -> None:
    segmenting.segment(run, dataset, out=tmp_path / "out", split="test", postprocess="auto", dry_run=True)
    assert not measured and not (tmp_path / "out").exists()


def test_questions_are_answered_with_repairs(
    run: Path, toy: Path, tmp_path: Path, measured: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = sorted((toy / "images").iterdir())[:2]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(map(str, images)) + "\n\n"))
    done = segmenting.segment(run, out=tmp_path / "out", sampling=TWO, interactive=True, postprocess="auto")
    assert measured == [run] and len(done["predictions"]) == 2
    assert [rows(Path(folder))[0]["area"] for folder in done["predictions"]] == ["0.0", "0.0"]


def test_a_model_is_measured_as_it_is_drawn(
    run: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ensembles of the validation cases, of as many members, and their readers; what they chose is what is told."""
    seen: dict[str, Any] = {}

    def noted(masks: Any, readers: Any, *, classes: int) -> Postprocessing:
        seen.setdefault("masks", masks), seen.setdefault("readers", readers)
        return postprocess.Postprocessing(chosen=(), cases=len(masks))

    ways, draw = list[dict[str, Any]](), postprocess.ensembles

    def drawing(*given: Any, **how: Any) -> Any:
        ways.append(how)
        return draw(*given, **how)

    monkeypatch.setattr(postprocess, "choose_repairs", noted)
    monkeypatch.setattr(postprocess, "ensembles", drawing)
    told = segmenting.segment(
        run, dataset, out=tmp_path / "out", split="validation", samples=2, sampling=TWO, postprocess="auto"
    )
    assert [(way["members"], way["seed"], way["start"], way["tta"]) for way in ways] == [
        (2, 0, None, False),
        (1, 0, None, False),
    ], "the model, then its twin"
    cases = Dataset.open(dataset).rows("validation")
    assert told["postprocess"] == {
        "steps": [],
        "validation_cases": len(cases),
        "why": f"no post-processing raises the Dice of {len(cases)} validation cases enough",
    }
    assert [mask.shape for mask in seen["masks"]] == [(16, 16)] * len(cases)
    assert [masks.shape for masks in seen["readers"]] == [(2, 16, 16)] * len(cases)
    model, opened = load_model(run), Dataset.open(dataset)
    drawn = predict(model, model.sampler(steps=2), [opened.cases[row] for row in cases], count=2, seed=0, batch=16)
    for mask, ensemble in zip(seen["masks"], drawn, strict=True):
        assert (mask != mean_probability(ensemble.members).argmax(0)).mean() < 0.01, "the same noise"
    for readers, row in zip(seen["readers"], cases, strict=True):
        np.testing.assert_array_equal(readers, [opened.mask(row, reader) for reader in range(2)])


def test_too_few_validation_cases_choose_nothing(
    segment_run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, how in (("drawn", "none"), ("few", "auto")):
        told = segmenting.segment(
            segment_run, dataset, out=tmp_path / name, split="test", samples=2, sampling=TWO, postprocess=how
        )
    assert told["postprocess"]["steps"] == [] and "too few to choose" in told["postprocess"]["why"]
    said = " ".join(capsys.readouterr().err.split())
    assert "too few to choose post-processing by (10 are needed): masks stay as drawn" in said
    assert files(tmp_path / "drawn" / "masks") == files(tmp_path / "few" / "masks")
    assert not (load_model(segment_run).postprocess or {}), "nothing is kept"


def test_a_least_size_grows_with_the_image() -> None:
    assert Canvas((16, 16)).place((32, 64)).pixels_each == 8.0
    assert Canvas((16, 16), keep_aspect=True).place((32, 64)).pixels_each == 16.0, "of its own pixels, not the margin"
    spec = Spec(size=(4, 4), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, ""),
                mask_classes=("background", "a"))  # fmt: skip
    repairs = Postprocessing(chosen=(ChosenRepair(Repair(1, "least", 2), 0.1, 5, 0),), cases=10)
    mask, place = np.zeros((8, 8), np.uint8), Canvas((4, 4)).place((8, 8))
    mask[:2, :4] = mask[5, :7] = 1
    repaired = Writer(folder=Path(), spec=spec, postprocess=repairs)._repaired(mask, place)
    assert repaired.sum() == 8, "of 8 and 7 pixels, where one of the model is 4"


def test_planes_of_a_volume_are_repaired_and_its_doubt_stays(tmp_path: Path) -> None:
    """Each plane by itself; also of planes whose mask is gone it is told how unsure the members were."""
    toys.toy(tmp_path / "scans", volumes=True, cases=3, size=32)
    spec = Spec(size=(32, 32), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, ""),
                mask_classes=("background", "a", "b"))  # fmt: skip
    unit = units(find_cases(tmp_path / "scans").cases, "same")[0]

    def ensembles() -> Iterator[Ensemble]:
        for number, case in enumerate(unit.cases):
            shape = read_mask(case.masks[0]).shape
            size = (shape[0], shape[1])
            first = np.full((3, *size), 0.1, np.float32)
            first[0] = 0.8
            first[:, :4, :4] = np.array([0.1, 0.6, 0.3])[:, None, None]
            first[:, 6, 6] = first[:, 0, 0]
            if number == 0:
                first[:, :4, :4] = np.array([0.8, 0.1, 0.1])[:, None, None]
            yield Ensemble(
                case=case,
                picture=np.zeros((*size, 1), np.uint8),
                placement=Canvas(size).place(size),
                members=np.stack([first, first]),
            )

    repairs = Postprocessing(chosen=(ChosenRepair(Repair(1, "least", 2), 0.1, 5, 0),), cases=10)
    written = {}
    for name, how in (("drawn", None), ("repaired", repairs)):
        (tmp_path / name).mkdir()
        writer = Writer(folder=tmp_path / name, spec=spec, writing=Writing(save=()), postprocess=how)
        (written[name],) = writer.write([unit], ensembles())
    drawn, repaired = written["drawn"], written["repaired"]
    masks = [np.asarray(nibabel.load(tmp_path / name / drawn["mask"]).dataobj) for name in ("drawn", "repaired")]
    planes = len(unit.cases)
    assert [int((mask > 0).sum()) for mask in masks] == [17 * (planes - 1) + 1, 16 * (planes - 1)]
    assert drawn["area"] > repaired["area"] > 0
    assert {name for name in drawn if drawn[name] != repaired[name]} == {"area"}
