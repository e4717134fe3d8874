import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import torch

from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import write_image
from sfumato.data.manifest import Case
from sfumato.data.mask import IGNORED
from sfumato.data.placement import restore
from sfumato.data.preparation import chunk as chunks
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.preparation.spool import spool_folder
from sfumato.data.source import DiscoveredDataset
from sfumato.data.spec import read_input, to_data
from sfumato.errors import DataError, UsageError
from sfumato.lock import FolderLock

GENERATOR = np.random.default_rng(0)


def run(cases: Sequence[Case], out: Path, *, found: dict[str, Any] | None = None, **options: Any) -> Dataset:
    source = DiscoveredDataset(tuple(cases), (), ())._replace(**(found or {}))
    for _ in prepare_cases(source, out, PreparationSettings(**{"size": (16, 16), **options})):
        pass
    return Dataset.open(out)


def images(
    folder: Path, count: int, make: Callable[[int], np.ndarray], *, masks: Callable[[int], np.ndarray] | None = None
) -> list[Case]:
    folder.mkdir(exist_ok=True)
    cases = []
    for row in range(count):
        image, mask = folder / f"{row:03}.tif", folder / f"{row:03}_mask.png"
        tifffile.imwrite(image, make(row))
        if masks is not None:
            write_image(mask, masks(row))
        cases.append(Case(id=f"{row:03}", image=str(image), masks=(str(mask),) if masks else ()))
    return cases


def noise(dtype: type, low: float, high: float, channels: tuple[int, ...] = ()) -> Callable[[int], np.ndarray]:
    return lambda _: GENERATOR.uniform(low, high, (20, 24, *channels)).astype(dtype)


def square(row: int) -> np.ndarray:
    mask = np.zeros((20, 24), np.uint8)
    mask[: row + 1, 3:9] = 255
    return mask


def volumes(folder: Path, count: int, *, scale: Callable[[int], float] = lambda _: 1.0, slices: int = 4) -> list[Case]:
    """Volumes of 20 x 24 pixels of 2 mm x 1 mm, the object in the middle slices."""
    folder.mkdir(exist_ok=True)
    cases = []
    for number in range(count):
        voxels = (GENERATOR.normal(100, 20, (24, 20, slices)) * scale(number)).astype(np.float32)
        labels = np.zeros(voxels.shape, np.uint8)
        labels[4:12, 5:15, 1:3] = 1 + number % 2
        for name, array in (("image", voxels), ("label", labels)):
            nibabel.save(nibabel.Nifti1Image(array, np.diag([-1, -2, 5, 1])), folder / f"{name}{number}.nii.gz")
        cases += [
            Case(
                id=f"v{number}_{plane}",
                image=f"{folder}/image{number}.nii.gz::axial/{plane}",
                masks=(f"{folder}/label{number}.nii.gz::axial/{plane}",),
                volume=f"v{number}",
            )
            for plane in range(slices)
        ]
    return cases


MAKERS = {
    "uint8": noise(np.uint8, 0, 256),
    "colour": noise(np.uint8, 0, 256, (3,)),
    "uint16": noise(np.uint16, 900, 5000),
    "int16": noise(np.int16, -1000, 900),
    "float32": noise(np.float32, 0, 1),
}


@pytest.mark.parametrize("geometry", [{}, {"keep_aspect": True}, {"crop": True}, {"size": (20, 24)}])
@pytest.mark.parametrize("kind", ["unit", "window", "percentile", "zscore"])
@pytest.mark.parametrize("numbers", MAKERS)
def test_a_fresh_image_becomes_what_was_prepared(
    tmp_path: Path, numbers: str, kind: str, geometry: dict[str, Any]
) -> None:
    cases = images(tmp_path / "raw", 4, MAKERS[numbers])
    dataset = run(cases, tmp_path / "set", intensity=kind, workers=1, **geometry)
    stored = np.load(tmp_path / "set/images.npy")
    assert stored.dtype == (np.uint8 if kind == "unit" and numbers in ("uint8", "colour") else np.uint16)
    for row, case in enumerate(cases):
        fresh = read_input(case, dataset.spec)
        assert fresh.array.dtype == stored.dtype and np.array_equal(fresh.array, stored[row])
        assert torch.equal(to_data(fresh.array[None], dataset.spec), dataset.images([row]))
        assert fresh.placement == dataset.placement(row)


def test_planes_share_the_range_of_their_volume_and_volumes_do_not(tmp_path: Path) -> None:
    cases = volumes(tmp_path / "raw", 3, scale=lambda number: 1000.0**number)
    dataset = run(cases, tmp_path / "set", size=(20, 24))
    assert dataset.spec.intensity.kind == "percentile" and "differ" in dataset.spec.intensity.text
    batch = dataset.images(range(12)).reshape(3, -1)
    assert torch.allclose(batch.mean(1), torch.zeros(3), atol=0.1)
    fresh = read_input(cases[7], dataset.spec)
    assert torch.equal(to_data(fresh.array[None], dataset.spec), dataset.images([7]))
    assert {case.split for case in dataset.cases[:4]} == {dataset.cases[0].split}


def test_channels_in_files_of_their_own_have_ranges_of_their_own(tmp_path: Path) -> None:
    first, second = (
        images(tmp_path / "a", 3, noise(np.float32, 0, 1)),
        images(tmp_path / "b", 3, noise(np.float32, 0, 900)),
    )
    cases = [replace(case, channels=(other.image,)) for case, other in zip(first, second, strict=True)]
    dataset = run(cases, tmp_path / "set", intensity="percentile")
    assert dataset.spec.channels == 2 and dataset.images([0]).shape == (1, 2, 16, 16)
    assert dataset.images([0, 1, 2]).std((0, 2, 3)).min() > 0.2
    assert np.array_equal(read_input(cases[2], dataset.spec).array, np.load(tmp_path / "set/images.npy")[2])


def test_workers_make_the_same_set(tmp_path: Path) -> None:
    cases = images(tmp_path / "raw", 12, MAKERS["uint16"], masks=square)
    for name, workers in (("one", 1), ("two", 2)):
        run(cases, tmp_path / name, workers=workers, size=(20, 24))
    for file in ("images.npy", "masks.npy", "manifest.csv", "dataset.json", "splits_final.json", "fingerprint.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


WORKER = """
import sys
from pathlib import Path
from sfumato.data.preparation.chunk import Chunk, Job, count_mask_values, decode
from sfumato.data.manifest import Case
from sfumato.data.mask import MaskRule
from sfumato.data.placement import Canvas
from sfumato.data.preparation.store import fill_arrays
raw, case = Path(sys.argv[1]), Case(id="0", image=f"{sys.argv[1]}/000.tif", masks=(f"{sys.argv[1]}/000_mask.png",))
assert decode(Job(raw, Canvas((20, 24)), MaskRule((0, 255), None, ""), True), Chunk(0, 0, (case,))).problems == []
assert count_mask_values(None, case.masks) == {0: 474, 255: 6}
assert "torch" not in sys.modules
"""


def test_workers_import_no_torch_where_nothing_is_resized(tmp_path: Path) -> None:
    images(tmp_path / "raw", 1, MAKERS["uint8"], masks=square)
    subprocess.run([sys.executable, "-c", WORKER, tmp_path / "raw"], check=True)


KILLED = """
import sys, time
from pathlib import Path
from sfumato.data.manifest import Case
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import DiscoveredDataset

def main(folder):
    files = [f"{folder}/raw/{row:03}" for row in range(64)]
    cases = [Case(id=file[-3:], image=f"{file}.tif", masks=(f"{file}_mask.png",)) for file in files]
    found = DiscoveredDataset(tuple(cases), (), ())
    for progress in prepare_cases(found, Path(folder) / "set", PreparationSettings(size=(20, 24), workers=2)):
        if progress.done > 20:
            print("ready", flush=True)
            time.sleep(60)

if __name__ == "__main__":
    main(sys.argv[1])
"""


def test_a_killed_prepare_leaves_nothing_and_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = images(tmp_path / "raw", 64, MAKERS["uint8"], masks=square)
    child = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    with pytest.raises(UsageError, match=rf"another process prepares here \(pid {child.pid}\)"):
        run(cases, tmp_path / "set")
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.read()  # ends when the workers have ended too
    child.stdout.close()
    assert not (tmp_path / "set").exists()
    spool = spool_folder(tmp_path / "set")
    done = len(list(spool.glob("*.json")))
    assert done >= 10

    decoded = counted(monkeypatch)
    dataset = run(cases, tmp_path / "set", size=(20, 24), workers=1)
    assert len(dataset) == 64 and len(decoded) == 32 - done and not spool.exists()
    assert {file.name for file in tmp_path.iterdir()} == {"raw", "set"}
    run(cases, tmp_path / "again", size=(20, 24), workers=1)
    assert (tmp_path / "again/images.npy").read_bytes() == (tmp_path / "set/images.npy").read_bytes()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[chunks.Chunk]:
    """The chunks that are decoded from now on."""
    decoded: list[chunks.Chunk] = []
    original = chunks.decode
    monkeypatch.setattr(
        "sfumato.data.preparation.prepare.decode", lambda job, chunk: decoded.append(chunk) or original(job, chunk)
    )
    return decoded


def interrupted(cases: Sequence[Case], out: Path, **options: Any) -> None:
    """Prepare half of the cases, then stop as Ctrl-C does."""
    steps = prepare_cases(
        DiscoveredDataset(tuple(cases), (), ()), out, PreparationSettings(**{"size": (16, 16), "workers": 1, **options})
    )
    for _ in range(len(cases) // 2):
        next(steps)
    steps.close()


@pytest.mark.parametrize("change", ["nothing", "seed", "size", "file", "bytes"])
def test_only_what_was_made_from_the_same_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    cases = images(tmp_path / "raw", 8, MAKERS["uint8"])
    interrupted(cases, tmp_path / "set")
    if change == "file":
        os.utime(cases[0].image, ns=(1, 1))
    if change == "bytes":
        file = min(spool_folder(tmp_path / "set").glob("*.images"))
        file.write_bytes(bytes(file.stat().st_size))
    decoded = counted(monkeypatch)
    dataset = run(cases, tmp_path / "set", **{"seed": {"seed": 1}, "size": {"size": (8, 8)}}.get(change, {}))
    assert len(decoded) == {"nothing": 4, "seed": 4, "size": 8, "file": 8, "bytes": 5}[change]
    assert np.array_equal(read_input(cases[0], dataset.spec).array, np.load(tmp_path / "set/images.npy")[0])


def test_a_folder_is_prepared_by_one_process(tmp_path: Path) -> None:
    cases = images(tmp_path / "raw", 2, MAKERS["uint8"])
    with FolderLock(spool_folder(tmp_path / "set"), work="prepares"), pytest.raises(UsageError, match="prepares here"):
        run(cases, tmp_path / "set")


def test_shapes_of_masks_are_measured_on_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfumato.data.preparation.prepare.CASES_MEASURED", 3)
    run(images(tmp_path / "raw", 12, MAKERS["uint8"], masks=square), tmp_path / "set", size=(20, 24))
    masks = json.loads((tmp_path / "set/fingerprint.json").read_text())["masks"]
    assert (masks["masks"], masks["measured"], masks["components"]["max"]) == (12, 3, 1)


def test_where_a_reader_is_missing_nothing_is_copied(tmp_path: Path) -> None:
    cases = images(tmp_path / "raw", 4, MAKERS["uint8"], masks=square)
    cases[1] = replace(cases[1], masks=(cases[1].masks[0], cases[2].masks[0]))
    run(cases, tmp_path / "set", size=(20, 24))
    masks = np.load(tmp_path / "set/masks.npy")
    expected = [(0, None), (1, 2), (2, None), (3, None)]
    assert all(
        (masks[row, reader] == IGNORED).all()
        if which is None
        else np.array_equal(masks[row, reader] * 255, square(which))
        for row, pair in enumerate(expected)
        for reader, which in enumerate(pair)
    )


def test_masks_are_read_again_where_the_sample_was_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfumato.data.preparation.prepare.CASES_SAMPLED", 2)
    cases = images(tmp_path / "raw", 9, MAKERS["uint8"], masks=lambda row: square(row) // 255 * (1 + (row == 5)))
    dataset = run(cases, tmp_path / "set", size=(20, 24), workers=1)
    assert dataset.spec.mask_rule is not None and dataset.spec.mask_rule.values == (0, 1, 2)
    assert [int(dataset.masks([row]).max()) for row in range(9)] == [1, 1, 1, 1, 1, 2, 1, 1, 1]


def test_named_classes_and_pixels_that_say_nothing(tmp_path: Path) -> None:
    def mask(row: int) -> np.ndarray:
        values = square(3) // 255 * np.uint8(4)
        values[0, 0] = 9
        return values

    cases = images(tmp_path / "raw", 3, MAKERS["uint8"], masks=mask)
    names = {0: "background", 2: "never seen", 4: "lesion"}
    dataset = run(cases, tmp_path / "set", found={"mask_names": names, "ignore": 9}, size=(20, 24))
    assert dataset.spec.ignore and dataset.spec.mask_classes == ("background", "never seen", "lesion")
    assert np.unique(np.load(tmp_path / "set/masks.npy"), return_counts=True)[1].tolist() == [3 * (480 - 25), 3 * 24, 3]
    assert np.load(tmp_path / "set/masks.npy")[0, 0, 0, 0] == 255


def test_a_value_without_a_name_is_told_with_its_file_and_place(tmp_path: Path) -> None:
    cases = images(tmp_path / "raw", 3, MAKERS["uint8"], masks=lambda row: square(row) // 255 * (1 + 6 * (row == 1)))
    with pytest.raises(
        DataError, match=r"001_mask\.png: the mask has the value 7 \(row 0, column 3\); 12 pixels"
    ) as caught:
        run(cases, tmp_path / "set", found={"mask_names": {0: "background", 1: "lesion"}})
    assert caught.value.code == "DATA-014" and [file.name for file in tmp_path.iterdir()] == ["raw"]


def test_slices_without_foreground_are_left_out_as_asked(tmp_path: Path) -> None:
    cases = volumes(tmp_path / "raw", 6, slices=8)
    shares = {
        share: run(cases, tmp_path / f"set{share}", keep_empty=share, intensity="zscore") for share in (0.0, 0.5, 1.0)
    }
    assert len(shares[0.0]) == 12 and 12 < len(shares[0.5]) < 48 and len(shares[1.0]) == 48
    assert all(shares[0.0].masks([row]).any() for row in range(12))
    assert "slices without foreground that were left out: 36" in shares[0.0].notes
    rows = [cases.index(replace(case, split=None)) for case in shares[0.5].cases]
    assert torch.equal(shares[0.5].images(range(len(rows))), shares[1.0].images(rows))
    assert torch.equal(shares[0.5].masks(range(len(rows))), shares[1.0].masks(rows))
    empty = [case for case in cases if int(case.id[-1]) not in (1, 2)]
    with pytest.raises(DataError, match="no slice has any foreground") as caught:
        run(empty, tmp_path / "none", keep_empty=0.0, found={"mask_names": {0: "background", 1: "a"}})
    assert caught.value.code == "DATA-027"


def test_volumes_are_brought_to_a_spacing(tmp_path: Path) -> None:
    cases = volumes(tmp_path / "raw", 2)
    dataset = run(cases, tmp_path / "set", size=(32, 32), spacing=1.0)
    assert dataset.placement(0) == ((20, 24), (-4, 4, 40, 24), (32, 32)) == read_input(cases[0], dataset.spec).placement
    assert np.array_equal(read_input(cases[5], dataset.spec).array, np.load(tmp_path / "set/images.npy")[5])
    back = restore(dataset.masks([1])[0].numpy().astype(np.uint8), dataset.placement(1), nearest=True)
    assert back.shape == (20, 24) and back[5:15, 4:12].all() and back.sum() == 80
    flat = images(tmp_path / "flat", 1, MAKERS["uint8"])
    with pytest.raises(DataError, match=r"000\.tif has no spacing") as caught:
        run(flat, tmp_path / "other", spacing=1.0)
    assert caught.value.code == "DATA-026"


def test_folds_are_made_kept_and_written(tmp_path: Path) -> None:
    cases = volumes(tmp_path / "raw", 10, slices=4)
    dataset = run(cases, tmp_path / "set", folds=4, fold=2)
    folds = json.loads((tmp_path / "set/splits_final.json").read_text())
    assert {case.volume for case in dataset.cases if case.split == "validation"} == set(folds[2]["val"])
    assert len(folds) == 4 and len({case.volume for case in dataset.cases if case.split == "test"}) in (1, 2)
    given = ({f"v{row}": "validation" if row < 3 else "train" for row in range(10)},)
    kept = run(cases, tmp_path / "kept", found={"folds": given}, fractions=(0.8, 0.2, 0.0))
    assert {case.volume for case in kept.cases if case.split == "validation"} == {"v0", "v1", "v2"}
    assert json.loads((tmp_path / "kept/splits_final.json").read_text())[0]["val"] == ["v0", "v1", "v2"]


def test_intensities_are_those_of_the_training_cases(tmp_path: Path) -> None:
    cases = images(tmp_path / "raw", 6, lambda row: np.full((4, 5), 100 * row + np.arange(5), np.uint16))
    split = [replace(case, split="test" if row > 3 else "train") for row, case in enumerate(cases)]
    dataset = run(split, tmp_path / "set", modality="xray", fractions=(0.8, 0.0, 0.2), keep_split=True)
    assert dataset.spec.intensity[:3] == ("window", 0, 304) and dataset.spec.modality == "xray"


def test_ct_is_seen_in_hounsfield_units(tmp_path: Path) -> None:
    cases = images(tmp_path / "raw", 4, noise(np.int16, -3000, 2500))
    assert run(cases, tmp_path / "a", found={"modality": "CT"}).spec.intensity[:3] == ("window", -1000, 1000)
    assert run(cases, tmp_path / "b", window=(-160, 240)).spec.intensity[:3] == ("window", -160, 240)


@pytest.mark.parametrize(
    "options",
    [
        {"window": (5.0, 5.0)},
        {"window": (0.0, 1.0), "intensity": "zscore"},
        {"crop": True, "keep_aspect": True},
        {"folds": 3, "fold": 3},
        {"folds": 1},
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="impossible"):
        run(images(tmp_path / "raw", 1, MAKERS["uint8"]), tmp_path / "set", **options)


def test_grey_and_colour_mix_and_other_numbers_of_channels_do_not(tmp_path: Path) -> None:
    grey, colour = images(tmp_path / "a", 2, MAKERS["uint8"]), images(tmp_path / "b", 2, MAKERS["colour"])
    named = [replace(case, id=f"{row}") for row, case in enumerate([*grey, *colour])]
    assert run(named, tmp_path / "set").spec.channels == 3
    two = replace(grey[0], channels=(grey[1].image,))
    with pytest.raises(DataError, match="different numbers of channels"):
        run([two, replace(grey[1], id="x")], tmp_path / "other")


def test_what_the_size_costs_is_measured_kept_and_told(tmp_path: Path) -> None:
    dataset = run(images(tmp_path / "source", 8, noise(np.uint8, 0, 255), masks=square), tmp_path / "out", size=(5, 6))
    assert dataset.sharpness is not None and dataset.sharpness.size == (5, 6) and dataset.sharpness.masks == 8
    assert 0.5 < dataset.sharpness.dice < 1 and dataset.sharpness.sentence in dataset.notes
    whole = run(images(tmp_path / "source", 8, noise(np.uint8, 0, 255), masks=square), tmp_path / "w", size=(20, 24))
    assert whole.sharpness is not None and whole.sharpness.dice == 1
    assert not any("perfect mask" in note for note in whole.notes)
    assert run(images(tmp_path / "bare", 4, noise(np.uint8, 0, 255)), tmp_path / "b").sharpness is None


def test_a_split_that_has_a_picture_twice_is_refused_unless_it_is_to_be_kept(tmp_path: Path) -> None:
    cases = images(tmp_path / "raw", 6, noise(np.uint8, 0, 255))
    Path(cases[5].image).write_bytes(Path(cases[0].image).read_bytes())
    split = [replace(case, split="test" if row > 3 else "train") for row, case in enumerate(cases)]
    with pytest.raises(DataError, match="in several splits") as refusal:
        run(split, tmp_path / "refused", modality="xray")
    assert refusal.value.code == "DATA-081" and "--keep-split" in refusal.value.remedy
    kept = run(split, tmp_path / "kept", modality="xray", keep_split=True)
    assert any("more than one split: 1" in note for note in kept.notes)


def test_a_division_without_validation_and_test_is_told(tmp_path: Path) -> None:
    """All cases are of one patient; with several nothing is said."""
    cases = images(tmp_path / "in", 12, noise(np.uint8, 0, 255))
    alone = run([replace(case, patient="one") for case in cases], tmp_path / "alone")
    assert any("no case is left for validation and test: patients (1," in note for note in alone.notes)
    assert not any("no case is left" in note for note in run(cases, tmp_path / "many").notes)
