"""Volumes that stay whole: prepared at a spacing, cut into patches, segmented in windows, written on their grid."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from tests.preloaded import Preloaded

from sfumato import segment
from sfumato.commands import check, evaluate, info, prepare, reference, report, train
from sfumato.commands import segment as segmenting
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.data.augmentation.augment import apply, draw_parameters, margin
from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import write_image
from sfumato.data.formats.provenance import read_origin
from sfumato.data.formats.scan import read_volume
from sfumato.data.preparation import chunk
from sfumato.errors import DataError, UsageError
from sfumato.experiment.inference import predict_array
from sfumato.experiment.run import load_model
from sfumato.experiment.workload import set_up_workload
from sfumato.randomness import Noise
from sfumato.tables import read_rows, write_table
from sfumato.tasks.segment import Segment
from sfumato.training.checkpoint import newest

CASES = 14
SMALL = [
    "network={kind: amortised, channels: 8, multipliers: [1, 2, 2], blocks: 1, stem: 1, stride: 1, draw_channels: 8}",
    "data.patch=[12, 16, 16]",
    "data.augment={shift: 0.05}",
    "process={kind: gaussian, prediction: logits, critical_log_snr: -5}",
    "sample.steps=2",
    "train.learning_rate=0.003",
]
AXES = [("L", "P", "S"), ("R", "A", "S"), ("P", "S", "R")]


def balls(folder: Path, *, cases: int = CASES, channels: int = 1) -> Path:
    """Bright balls in noise, in millimetres; planes are 2 mm apart, pixels 1 mm, of some volumes 3 and 1.5."""
    random = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(cases):
        step = np.array([1.0, 1.0, 2.0]) * (1.5 if number % 4 == 3 else 1.0)
        shape = np.array([22, 24, 18]) + random.integers(0, 6, 3)
        places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) * step
        centre, radius = random.uniform(0.3, 0.7, 3) * shape * step, random.uniform(6, 9)
        mask = (np.linalg.norm(places - centre, axis=-1) < radius).astype(np.uint8)
        affine = np.diag([*step, 1.0])
        files = [mask, *(random.integers(0, 300, shape) + 700 * mask.astype(int) for _ in range(channels))]
        for place, values in enumerate(files):
            volume = nibabel.Nifti1Image(np.asarray(values, np.uint8 if place == 0 else np.int16), affine)
            wanted = nibabel.orientations.axcodes2ornt(AXES[number % len(AXES)])
            turned = volume.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), wanted))
            ending = f"_{place - 1:04}" if channels > 1 and place else ""
            nibabel.save(turned, folder / ("images" if place else "masks") / f"ball_{number:02}{ending}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return balls(tmp_path_factory.mktemp("balls"))


@pytest.fixture(scope="module")
def whole(source: Path) -> Path:
    out = source.parent / "whole"
    prepare.prepare(source, out=out)
    return out


@pytest.fixture(scope="module")
def run(whole: Path) -> Path:
    out = whole.parent / "run"
    train.segment(whole, out=out, steps=60, batch=4, set=[*SMALL, "validate.every_steps=30"])
    return out


@pytest.fixture(scope="module")
def predictions(run: Path, source: Path) -> Path:
    out = run.parent / "predictions"
    segmenting.segment(run, source, out=out, samples=2, sampling=SamplingFlags(steps=2))
    return out


def test_volumes_stay_whole_and_come_to_the_spacing_of_most(source: Path, whole: Path) -> None:
    opened = Dataset.open(whole)
    assert opened.spec.dimensions == 3
    assert opened.spec.spacing == (2.0, 1.0, 1.0)
    assert len(opened) == CASES and len(opened.planes) > 10 * CASES
    for row, case in enumerate(opened.cases):
        placed = opened.placement(row)
        coarse = case.id in ("ball_03", "ball_07", "ball_11")
        assert opened.size(row) == placed.canvas == tuple(round(side * (1.5 if coarse else 1)) for side in placed.size)
        assert opened.mask(row).shape == opened.size(row)
        assert 0.3 < opened.images([row])[0, 0][opened.mask(row) == 1].mean() < 1
        if not coarse:
            image = read_volume(source / "images" / f"{case.id}.nii.gz").planes("axial")
            assert np.corrcoef(opened.images([row])[0, 0].numpy().ravel(), image.ravel())[0, 1] > 0.9999
        stored = np.asarray(nibabel.load(source / "masks" / f"{case.id}.nii.gz").dataobj)
        assert opened.mask(row).sum() == pytest.approx(stored.sum() * (1.5**3 if coarse else 1), rel=0.06 * coarse)


def test_volumes_that_are_decoded_together_are_the_same(
    source: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk, "CHUNKS", 1)
    assert len(chunk.cut_chunks(Dataset.open(whole).planes, dimensions=3)) < CASES
    prepare.prepare(source, out=tmp_path / "set", workers=1)
    for name in ("images.npy", "masks.npy", "manifest.csv"):
        assert (tmp_path / "set" / name).read_bytes() == (whole / name).read_bytes()


def test_masks_lie_on_the_grid_of_their_input(predictions: Path, source: Path) -> None:
    for file in sorted((source / "images").glob("*.nii.gz")):
        image = nibabel.load(file)
        for kind in ("masks", "uncertainty", "probability"):
            written = nibabel.load(predictions / kind / file.name)
            assert written.shape == image.shape
            assert np.allclose(written.affine, image.affine, atol=1e-5)
    rows = read_rows(predictions / "manifest.csv")
    assert len(rows) == CASES
    assert sorted(int(row["review_rank"]) for row in rows) == list(range(1, CASES + 1))


def test_a_model_of_volumes_finds_the_balls(predictions: Path, whole: Path, tmp_path: Path) -> None:
    scores = evaluate.masks(predictions, whole, out=tmp_path / "scores")
    print(scores)
    assert scores["arms"]["diffusion"]["dice"]["mean"] > 0.7


def test_the_overlay_shows_three_planes(predictions: Path, source: Path) -> None:
    with Image.open(predictions / "overlay" / "ball_00.png") as picture:
        width, height = picture.size
    shape = np.array(nibabel.load(source / "images" / "ball_00.nii.gz").shape)
    assert width == shape[0] * 2 + shape[1] + 4  # L and L of the axial and coronal plane, P of the sagittal one
    assert height == max(shape[1], 2 * shape[2])


def test_a_volume_that_is_there_is_segmented_as_its_file(run: Path, predictions: Path, source: Path) -> None:
    image = nibabel.load(source / "images" / "ball_00.nii.gz")  # L, P, S: planes are the last axis
    voxels = np.asarray(image.dataobj).transpose(2, 1, 0)
    drawn = predict_array(
        load_model(run), voxels, count=2, sampler=load_model(run).sampler(steps=2), name="ball_00", spacing=(2, 1, 1)
    )
    written = np.asarray(nibabel.load(predictions / "masks" / "ball_00.nii.gz").dataobj).transpose(2, 1, 0)
    assert np.array_equal(drawn.mask, written)


def test_a_volume_without_its_spacing_is_refused(run: Path) -> None:
    with pytest.raises(DataError, match="no spacing"):
        predict_array(load_model(run), np.zeros((18, 24, 22), np.int16), name="ball")


def test_two_processes_cut_the_patches_of_one(whole: Path, preloaded: Preloaded, tmp_path: Path) -> None:
    settings = [*SMALL, "validate.every_steps=4", "checkpoint.every_steps=4"]
    flags = [flag for setting in settings for flag in ("--set", setting)]
    weights = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        command = ["train", "segment", whole, "--out", out, "--steps", "4", "--batch", "4", *flags]
        done = preloaded.start(command, processes=processes)
        assert done.wait() == 0, done.stderr.read_text()
        found = newest(out / "checkpoints")
        assert found is not None and found.step == 4
        weights.append(found.tensors["ema"])
    for name, tensor in weights[0].items():
        assert tensor.allclose(weights[1][name], atol=5e-5), name  # as in test_train: Adam on rounding


def test_windows_and_members_do_not_depend_on_the_batch(run: Path, source: Path, tmp_path: Path) -> None:
    for batch in (1, 16):
        segmenting.segment(
            run, source / "images" / "ball_05.nii.gz", out=tmp_path / str(batch), samples=3, batch=batch,
            sampling=SamplingFlags(steps=2), save="probability",
        )  # fmt: skip
    one, other = (
        np.asarray(nibabel.load(tmp_path / batch / "probability" / "ball_05.nii.gz").dataobj) for batch in ("1", "16")
    )
    assert np.array_equal(one, other)


def test_rotations_are_rigid_in_millimetres(whole: Path) -> None:
    settings = [*SMALL, "data.augment={angle: 40, tilt: 1}", "train.steps=1", "train.batch=2"]
    task = set_up_workload(whole, "segment", None, settings).task
    assert isinstance(task, Segment)
    noise = Noise([1, 2])
    images, masks = task.read([0, 1], noise)
    moved, labels = task.varied(images, masks, noise)
    beyond = margin(task.augment, (12, 16, 16), (2.0, 1.0, 1.0))
    assert beyond != margin(task.augment, (12, 16, 16)), "in millimetres a turn reaches elsewhere"
    assert tuple(images.shape[2:]) == tuple(side + 2 * more for side, more in zip((12, 16, 16), beyond, strict=True))
    assert moved.shape[2:] == (12, 16, 16)
    task.read([0, 1], again := Noise([1, 2]))
    drawn = draw_parameters(task.augment, again, images, (12, 16, 16))
    expected, where = apply(images, masks, drawn, (12, 16, 16), (2.0, 1.0, 1.0))
    assert moved.equal(expected) and where is not None and labels.equal(where)


def test_resume_is_exact(whole: Path, tmp_path: Path) -> None:
    extra = [*SMALL, "validate.every_steps=4", "checkpoint.every_steps=2"]
    through, stopped = tmp_path / "through", tmp_path / "stopped"
    train.segment(whole, out=through, steps=4, batch=4, set=extra)
    shutil.copytree(through, stopped)
    shutil.rmtree(stopped / "checkpoints" / "step-00000004")
    train.resume(stopped)
    ends = [newest(each / "checkpoints") for each in (through, stopped)]
    assert ends[0] is not None and ends[1] is not None and ends[0].step == ends[1].step == 4
    assert all(tensor.equal(ends[1].tensors["ema"][name]) for name, tensor in ends[0].tensors["ema"].items())


def test_the_twin_of_a_u_net_sees_volumes_too(whole: Path, source: Path, tmp_path: Path) -> None:
    network = "network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: []}"
    train.segment(whole, out=tmp_path / "run", steps=2, batch=2, twin=True, set=[*SMALL[1:], network])
    scan = source / "images" / "ball_01.nii.gz"
    segmenting.segment(tmp_path / "run", scan, out=tmp_path / "out", samples=1)
    for folder in ("masks", "twin/masks"):
        assert nibabel.load(tmp_path / "out" / folder / "ball_01.nii.gz").shape == nibabel.load(scan).shape


def test_the_plan_chooses_a_network_and_patches_of_volumes(whole: Path, tmp_path: Path) -> None:
    planned = train.segment(whole, out=tmp_path / "run", dry_run=True, minutes=1)
    chosen = {choice["choice"]: choice["value"] for choice in planned["plan"]}
    assert chosen["network.kind"] == "amortised" and chosen["data.patch"] == [24, 32, 28]


def test_planes_are_kept_where_they_are_asked_for(source: Path, tmp_path: Path) -> None:
    prepare.prepare(source, out=tmp_path / "planes", size="16")
    prepare.prepare(source, out=tmp_path / "asked", preparation=prepare.PreparationFlags(dimensions=2))
    for name in ("planes", "asked"):
        opened = Dataset.open(tmp_path / name)
        assert opened.spec.dimensions == 2 and len(opened) == len(opened.planes) > 10 * CASES


def test_a_spacing_of_ones_own(source: Path, tmp_path: Path) -> None:
    prepare.prepare(source, out=tmp_path / "set", spacing="4x2x2")
    assert Dataset.open(tmp_path / "set").spec.spacing == (4.0, 2.0, 2.0)
    shown = info.info(tmp_path / "set")
    assert shown["dimensions"] == 3


def test_two_modalities_and_two_readers(tmp_path: Path) -> None:
    folder = balls(tmp_path / "two", cases=4, channels=2)
    (folder / "masks2").mkdir()
    prepare.prepare(folder, out=tmp_path / "set")
    opened = Dataset.open(tmp_path / "set")
    assert opened.spec.channels == 2 and opened.images([0]).shape[1] == 2
    assert not np.array_equal(opened.images([0])[0, 0], opened.images([0])[0, 1])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": "16", "preparation": prepare.PreparationFlags(dimensions=3)}, "data.size"),
        ({"preparation": prepare.PreparationFlags(dimensions=3, keep_empty=0.5)}, "keep_empty"),
        ({"spacing": "1x2"}, "--spacing 1x2"),
        ({"spacing": "500", "preparation": prepare.PreparationFlags(dimensions=3)}, "0.001 to 100 mm"),
        ({"spacing": "2x1x1", "size": "16"}, "rows and columns"),
    ],
)
def test_settings_of_images_are_refused(source: Path, tmp_path: Path, settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prepare.prepare(source, out=tmp_path / "set", **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "set").exists()


def test_images_among_volumes_are_refused(tmp_path: Path) -> None:
    folder = balls(tmp_path / "mixed", cases=2)
    for part, value in (("images", 90), ("masks", 1)):
        write_image(folder / part / "flat.png", np.full((20, 20), value, np.uint8))
    rows = [("a", "images/ball_00.nii.gz::axial/3", "masks/ball_00.nii.gz::axial/3", "ball_00")]
    rows.append(("b", "images/flat.png", "masks/flat.png", ""))
    write_table(folder / "manifest.csv", ["id", "image", "mask", "volume"], rows)
    with pytest.raises(DataError, match="single images") as refused:
        prepare.prepare(folder, out=tmp_path / "set", preparation=prepare.PreparationFlags(dimensions=3))
    assert "--dimensions 2" in str(refused.value.remedy) and not (tmp_path / "set").exists()


def test_an_absurd_spacing_is_refused(tmp_path: Path) -> None:
    folder = balls(tmp_path / "absurd", cases=3)
    for part in ("images", "masks"):
        file = folder / part / "ball_00.nii.gz"
        volume = nibabel.load(file)
        data = np.asarray(volume.dataobj)
        nibabel.save(nibabel.Nifti1Image(data, np.diag([1.0, 1.0, 4000.0, 1.0])), file)
    with pytest.raises(DataError, match="mm between voxels"):
        prepare.prepare(folder, out=tmp_path / "set", preparation=prepare.PreparationFlags(dimensions=3))
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("between", "settings", "words"),
    [(4000.0, {}, "4000 x 1 x 1 mm between voxels"), (90.0, {"spacing": "0.01"}, r"voxels become .* at 0\.01 x")],
)
def test_a_rehearsal_refuses_what_the_preparation_refuses(
    tmp_path: Path, between: float, settings: dict[str, str], words: str
) -> None:
    folder = balls(tmp_path / "absurd", cases=3)
    for part in ("images", "masks"):
        file = folder / part / "ball_00.nii.gz"
        data = np.asarray(nibabel.load(file).dataobj)
        nibabel.save(nibabel.Nifti1Image(data, np.diag([1.0, 1.0, between, 1.0])), file)
    flags = prepare.PreparationFlags(dimensions=3)
    for dry_run in (True, False):
        with pytest.raises(DataError, match=words):
            prepare.prepare(folder, out=tmp_path / "set", preparation=flags, dry_run=dry_run, **settings)
        assert not (tmp_path / "set").exists()


def test_rehearsals_count_volumes(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = train.segment(source, out=tmp_path / "run", dry_run=True, steps=1)
    assert planned["cases"] == CASES and not (tmp_path / "run").exists()
    prepare.prepare(source, out=tmp_path / "set", dry_run=True)
    assert "empty masks" not in capsys.readouterr().err


def test_empty_masks_are_those_of_whole_volumes(tmp_path: Path) -> None:
    folder = balls(tmp_path / "empty", cases=4)
    file = folder / "masks" / "ball_02.nii.gz"
    volume = nibabel.load(file)
    nibabel.save(nibabel.Nifti1Image(np.zeros(volume.shape, np.uint8), volume.affine), file)
    prepare.prepare(folder, out=tmp_path / "set")
    assert "empty masks: 1 of 4" in Dataset.open(tmp_path / "set").notes


def test_a_page_shows_volumes_and_counts_them(whole: Path, tmp_path: Path) -> None:
    report.report(whole, out=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert f"{CASES} whole volumes" in page
    assert "pictures are missing" not in page and page.count("data:image/png") >= 12


def test_statistics_of_images_need_one_size(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its own size"):
        reference.reference(whole, out=tmp_path / "reference.npz")


def test_a_network_of_images_is_refused_by_the_plan(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="made for images"):
        train.segment(whole, out=tmp_path / "run", steps=1, dry_run=True, set=["network.kind=diffusers"])


def test_patches_of_other_axes_or_above_all_volumes_are_refused(whole: Path, tmp_path: Path) -> None:
    for patch, words in (("[16, 16]", "planes, height and width"), ("[90, 90, 90]", "exceeds every image")):
        with pytest.raises(UsageError, match=words):
            train.segment(whole, out=tmp_path / "run", steps=1, set=[*SMALL, f"data.patch={patch}"])


def test_a_generator_of_whole_volumes_is_told_what_to_do(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="own size"):
        train.generate(whole, out=tmp_path / "run", steps=1)


def test_a_picture_is_refused_by_a_model_of_volumes(run: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "flat.png", np.zeros((20, 20), np.uint8))
    with pytest.raises(DataError):
        segmenting.segment(run, tmp_path / "flat.png", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_single_plane_is_refused_with_a_remedy_that_there_is(run: Path, source: Path, tmp_path: Path) -> None:
    scan = nibabel.load(source / "images" / "ball_00.nii.gz")
    nibabel.save(scan.slicer[:, :, 5:6], tmp_path / "flat.nii.gz")
    with pytest.raises(DataError, match="single images") as refused:
        segmenting.segment(run, tmp_path / "flat.nii.gz", out=tmp_path / "out")
    assert refused.value.remedy == "leave the images out"


def test_pictures_of_planes_are_no_masks_of_volumes(run: Path, source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="png"):
        segmenting.segment(run, source, out=tmp_path / "out", format="png")


def test_check_reads_volumes_as_before(source: Path) -> None:
    assert check.check(source)["cases"] > CASES


def test_planes_beside_a_plane_are_channels(source: Path, tmp_path: Path) -> None:
    prepare.prepare(source, out=tmp_path / "set", size="native", preparation=prepare.PreparationFlags(neighbours=1))
    opened = Dataset.open(tmp_path / "set")
    assert opened.spec.channels == 3 and opened.spec.dimensions == 2
    rows = [row for row, case in enumerate(opened.cases) if case.volume == "ball_00"]
    alone = [opened.images([row])[0, 0] for row in rows]
    for place, row in enumerate(rows):
        before, behind = alone[max(place - 1, 0)], alone[min(place + 1, len(rows) - 1)]
        assert opened.images([row])[0, 1].equal(before) and opened.images([row])[0, 2].equal(behind)
    network = "network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: []}"
    extra = ["data.patch=[16, 16]", "sample.steps=2", network]
    train.segment(tmp_path / "set", out=tmp_path / "run", steps=2, batch=2, set=extra)
    scan = source / "images" / "ball_01.nii.gz"
    outputs = []
    for name, where in (("files", scan), ("dataset", tmp_path / "set")):
        segmenting.segment(tmp_path / "run", where, out=tmp_path / name, samples=1, save="overlay")
        outputs.append(np.asarray(nibabel.load(tmp_path / name / "masks" / "ball_01.nii.gz").dataobj))
    assert np.array_equal(*outputs)
    with Image.open(next((tmp_path / "files" / "overlay").iterdir())) as picture:
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (np.ptp(colours, axis=1) == 0).mean() > 0.3, "the plane itself is shown, in grey"


@pytest.mark.parametrize("there", [0, 2])
def test_planes_that_are_prepared_get_the_neighbours_that_they_lack(source: Path, tmp_path: Path, there: int) -> None:
    first, flags = tmp_path / "first", prepare.PreparationFlags
    prepare.prepare(source, out=first, size="native", preparation=flags(dimensions=2, neighbours=there))
    if there:
        with pytest.raises(UsageError, match="have 2 before and behind"):
            prepare.prepare(first, out=tmp_path / "again", size="native", preparation=flags(neighbours=1))
        return
    prepare.prepare(first, out=tmp_path / "again", size="native", preparation=flags(neighbours=1))
    assert Dataset.open(tmp_path / "again").spec.channels == 3


def test_neighbours_are_of_planes(source: Path, tmp_path: Path) -> None:
    flags = prepare.PreparationFlags(neighbours=1, dimensions=3)
    with pytest.raises(UsageError, match="neighbours"):
        prepare.prepare(source, out=tmp_path / "set", preparation=flags)


def test_models_of_several_folds_are_one_ensemble(run: Path, whole: Path, source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    train.segment(whole, out=other, steps=6, batch=2, seed=3, set=SMALL)
    scan, sampling = source / "images" / "ball_02.nii.gz", SamplingFlags(steps=2)
    told = segmenting.segment(
        run, other, scan, out=tmp_path / "both", samples=2, sampling=sampling, save="probability,overlay"
    )
    segmenting.segment(run, scan, out=tmp_path / "one", samples=2, sampling=sampling, save="probability")
    assert told["members"] == 4 and told["models"] == [run.name, other.name], "names, and no paths"
    weights = [load_model(each).sha256 for each in (run, other)]
    provenance = json.loads((tmp_path / "both" / "provenance.json").read_text())
    assert [model["sha256"] for model in provenance["models"]] == weights
    said = read_origin(tmp_path / "both" / "overlay" / "ball_02.png")
    assert all(sha256 in str(said) for sha256 in weights), "a file says all that decides it"
    with pytest.raises(UsageError):
        segmenting.segment(run, other, scan, out=other, overwrite=True)
    assert newest(other / "checkpoints") is not None
    both, one = (
        np.asarray(nibabel.load(tmp_path / name / "probability" / scan.name).dataobj) for name in ("both", "one")
    )
    assert not np.array_equal(both, one)
    (row,) = read_rows(tmp_path / "both" / "manifest.csv")
    assert (int(row["network_calls"]), int(row["draw_calls"])) == (2, 2 * 2 * 2), "each sees the volume once"


def test_models_of_other_data_make_no_ensemble(run: Path, segment_run: Path, source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="make no ensemble"):
        segmenting.segment(run, segment_run, source, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("read", [{"component": 1}, {"channel_files": ("_t2",)}])
def test_models_that_read_files_in_other_ways_make_no_ensemble(
    run: Path, source: Path, tmp_path: Path, read: dict[str, Any]
) -> None:
    model = load_model(run)
    other = model._replace(spec=replace(model.spec, **read))
    with pytest.raises(UsageError, match=f"make no ensemble.*\n.*{next(iter(read))}"):
        segment([model, other], source, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
