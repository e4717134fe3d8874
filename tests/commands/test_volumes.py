"""Volumes in, volumes out: the same shape, axes and affine, and nothing else of the header."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from tests.commands.conftest import TINY
from tests.faults.planted import dicom_series, found_in

from sfumato.commands import check as checking
from sfumato.commands import convert as converting
from sfumato.commands import evaluate, train
from sfumato.commands import prepare as preparing
from sfumato.commands import segment as segmenting
from sfumato.commands import toy as toys
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import read_mask
from sfumato.data.formats.scan import read_volume
from sfumato.data.placement import Canvas
from sfumato.data.source import find_cases
from sfumato.data.units import MaskFormat, units
from sfumato.experiment.inference import Ensemble
from sfumato.experiment.run import load_model
from sfumato.outputs.predictions import Writer, Writing


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CT-like volumes whose axes are stored in several orders."""
    folder = tmp_path_factory.mktemp("volumes") / "scans"
    toys.toy(folder, volumes=True, cases=5, size=32)
    return folder


@pytest.fixture(scope="module")
def run(scans: Path) -> Path:
    """A run on raw volumes: `train` prepares them itself."""
    folder = scans.parent / "run"
    settings = [*TINY, "train.learning_rate=3e-3", "data.keep_empty=0.5"]
    train.segment(scans, out=folder, size="16", steps=200, batch=16, set=settings)
    return folder


@pytest.fixture(scope="module")
def predictions(run: Path, scans: Path) -> Path:
    out = run.parent / "predictions"
    segmenting.segment(run, scans, out=out, samples=2, sampling=SamplingFlags(steps=2))
    return out


def test_the_planes_of_a_volume_stay_in_one_split(run: Path) -> None:
    dataset = Dataset.open(run / "dataset")
    assert {case.volume for case in dataset.cases} == {f"scan_{number:03}" for number in range(5)}
    for volume in {case.volume for case in dataset.cases}:
        assert len({case.split for case in dataset.cases if case.volume == volume}) == 1


def test_every_output_has_the_geometry_of_its_input(predictions: Path, scans: Path) -> None:
    orders = set()
    for file in sorted((scans / "images").glob("*.nii.gz")):
        source = nibabel.load(file)
        orders.add(nibabel.aff2axcodes(source.affine))
        for kind in ("masks", "uncertainty"):
            written = nibabel.load(predictions / kind / file.name)
            assert written.shape == source.shape
            assert np.allclose(written.affine, source.affine, atol=1e-4)
            assert written.get_data_dtype() == (np.uint8 if kind == "masks" else np.float32)
            assert bytes(written.header["descrip"]).startswith(b"AI prediction, not reviewed; model ")
        assert set(np.unique(np.asarray(nibabel.load(predictions / "masks" / file.name).dataobj))) <= {0, 1, 2}
    assert len(orders) > 2


def test_a_volume_is_one_row_and_one_score(predictions: Path, scans: Path, tmp_path: Path) -> None:
    with (predictions / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"scan_{number:03}" for number in range(5)]
    assert sorted(int(row["review_rank"]) for row in rows) == [1, 2, 3, 4, 5]
    result = evaluate.masks(predictions, scans, out=tmp_path / "scores")
    assert result["cases"] == 5
    by_class = result["arms"]["diffusion"]["per_class"]
    truth = [np.asarray(nibabel.load(file).dataobj) for file in sorted((scans / "labels").glob("*.nii.gz"))]
    drawn = [np.asarray(nibabel.load(file).dataobj) for file in sorted((predictions / "masks").glob("*.nii.gz"))]
    dice = [
        2 * ((a == 1) & (b == 1)).sum() / ((a == 1).sum() + (b == 1).sum()) for a, b in zip(drawn, truth, strict=True)
    ]
    assert np.isclose(next(iter(by_class.values()))["dice"], np.mean(dice), atol=1e-5)
    assert np.mean(dice) > 0.1


def test_the_right_answer_comes_back_voxel_by_voxel(run: Path, scans: Path, tmp_path: Path) -> None:
    """Planes of the true labels, handed to the writer, are the label volume in its stored order."""
    spec = load_model(run).spec
    wanted = units(find_cases(scans).cases, "same")

    def ensembles() -> Iterator[Ensemble]:
        for case in (case for unit in wanted for case in unit.cases):
            truth = read_mask(case.masks[0])
            yield Ensemble(
                case=case,
                picture=np.zeros((*truth.shape, 1), np.uint8),
                placement=Canvas((truth.shape[0], truth.shape[1])).place((truth.shape[0], truth.shape[1])),
                members=np.moveaxis(np.eye(3, dtype=np.float32)[truth], -1, 0)[None],
            )

    writer = Writer(folder=tmp_path, spec=spec, writing=Writing(save=()))
    assert [row["planes"] for row in writer.write(wanted, ensembles())] == [len(unit.cases) for unit in wanted]
    for file in sorted((scans / "labels").glob("*.nii.gz")):
        written = np.asarray(nibabel.load(tmp_path / "masks" / file.name).dataobj)
        assert np.array_equal(written, np.asarray(nibabel.load(file).dataobj))


def test_one_volume_by_itself_gets_the_same_mask(run: Path, scans: Path, predictions: Path, tmp_path: Path) -> None:
    segmenting.segment(
        run,
        scans / "images" / "scan_001.nii.gz",
        out=tmp_path / "one",
        samples=2,
        sampling=SamplingFlags(steps=2),
        save="none",
    )
    alone, among = (
        np.asarray(nibabel.load(folder / "masks" / "scan_001.nii.gz").dataobj)
        for folder in (tmp_path / "one", predictions)
    )
    assert (alone != among).mean() < 1e-3
    assert not (tmp_path / "one" / "uncertainty").exists()


def test_planes_as_pictures(run: Path, scans: Path, tmp_path: Path) -> None:
    file = scans / "images" / "scan_000.nii.gz"
    result = segmenting.segment(
        run, file, out=tmp_path / "png", samples=1, sampling=SamplingFlags(steps=1), format="png", save="overlay"
    )
    assert result["cases"] == min(nibabel.load(file).shape)
    assert len(list((tmp_path / "png" / "masks").glob("scan_000_*.png"))) == result["cases"]


def test_an_nnunet_dataset_is_a_source_and_not_a_prepared_dataset(
    scans: Path, predictions: Path, tmp_path: Path
) -> None:
    """Both have a dataset.json; the labels of nnU-Net are references, and what it ignores does not count."""
    raw = tmp_path / "Dataset007_Toy"
    converting.convert(scans, to="nnunet", out=raw)
    planned = train.segment(raw, dry_run=True)
    assert planned["cases"] == 50 and "data.size" in [choice["choice"] for choice in planned["plan"]]
    known = evaluate.masks(predictions, raw, out=tmp_path / "scores")
    said = evaluate.masks(predictions, scans, out=tmp_path / "same")
    assert known["foreground_mean"] == said["foreground_mean"]
    about = json.loads((raw / "dataset.json").read_text())
    about["labels"]["ignore"] = 3
    (raw / "dataset.json").write_text(json.dumps(about))
    for file in (raw / "labelsTr").glob("*.nii.gz"):
        label, drawn = (nibabel.load(folder / file.name) for folder in (file.parent, predictions / "masks"))
        voxels, wrong = np.asarray(label.dataobj).copy(), np.asarray(label.dataobj) != np.asarray(drawn.dataobj)
        voxels[wrong] = 3
        nibabel.save(nibabel.Nifti1Image(voxels, label.affine), file)
    right = evaluate.masks(predictions, raw, out=tmp_path / "ignoring")
    assert right["foreground_mean"]["dice"] == 1.0


def test_what_is_written_has_the_fields_of_geometry_of_its_scan(run: Path, scans: Path, tmp_path: Path) -> None:
    """Two forms that differ, their codes, a unit that is no millimetre: mask and maps have them all."""
    image = nibabel.load(min((scans / "images").glob("*.nii.gz")))
    moved = image.affine.copy()
    moved[:3, 3] += 5
    image.header.set_sform(image.affine, code=2)
    image.header.set_qform(moved, code=1)
    image.header.set_xyzt_units("micron")
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), None, image.header), tmp_path / "scan.nii.gz")
    segmenting.segment(
        run,
        tmp_path / "scan.nii.gz",
        out=tmp_path / "out",
        samples=1,
        sampling=SamplingFlags(steps=1),
        save="uncertainty",
    )
    scan = nibabel.load(tmp_path / "scan.nii.gz").header
    for kind in ("masks", "uncertainty"):
        written = nibabel.load(tmp_path / "out" / kind / "scan.nii.gz").header
        for form in ("get_sform", "get_qform"):
            (there, code), (here, same) = getattr(scan, form)(coded=True), getattr(written, form)(coded=True)
            assert code == same and np.array_equal(there, here)
        assert written.get_xyzt_units()[0] == "micron" and written["descrip"] != scan["descrip"]


@pytest.mark.parametrize("form", ["same", "nii", "png"])
def test_a_dicom_series_comes_back_without_its_patient(run: Path, tmp_path: Path, form: MaskFormat) -> None:
    """Segmentation, dataset, check, copy in another form: no byte of any output tells who it was."""
    pytest.importorskip("highdicom")
    series = dicom_series(tmp_path / "scan")
    out = tmp_path / "out"
    segmenting.segment(
        run, series.parent, out=out / "predictions", samples=2, sampling=SamplingFlags(steps=2), format=form
    )
    preparing.prepare(series.parent, out=out / "dataset", size="8")
    converting.convert(series.parent, to="folder", out=out / "pictures")
    checking.check(series.parent, out=out / "check")
    masks = list((out / "predictions" / "masks").iterdir())
    assert [mask.suffix for mask in masks] == {"same": [".dcm"], "nii": [".gz"], "png": [".png"] * 3}[form]
    if form != "png":
        written, source = read_volume(masks[0]), read_volume(series)
        assert written.voxels.shape == source.voxels.shape and np.allclose(written.affine, source.affine, atol=1e-4)
    (out / "names.txt").write_text("\n".join(str(path.relative_to(out)) for path in out.rglob("*")))
    assert len(list(out.rglob("*"))) > 20 and found_in(out) == []


def test_a_dicom_segmentation_is_linked_to_its_series_on_request(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And said to be, or not to be."""
    pydicom = pytest.importorskip("pydicom")
    series = dicom_series(tmp_path / "scan")
    image = pydicom.dcmread(series)
    for link in (False, True):
        segmenting.segment(
            run,
            series.parent,
            out=tmp_path / str(link),
            samples=1,
            sampling=SamplingFlags(steps=1),
            save="none",
            link=link,
        )
        said = " ".join(capsys.readouterr().err.split())
        (mask,) = (tmp_path / str(link) / "masks").iterdir()
        written = pydicom.dcmread(mask)
        assert (written.StudyInstanceUID == image.StudyInstanceUID) == (str(written.PatientID) != "") == link
        assert ("with --link they do" in said) != link and ("belong to the studies" in said) == link
