"""Analyze 7.5 and NIfTI in two files, against nibabel."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from sfumato.data.formats.analyze import NOTE
from sfumato.data.formats.image import read_mask
from sfumato.data.formats.nifti import write_volume
from sfumato.data.formats.scan import is_volume, read_header, read_volume
from sfumato.data.source import find_cases
from sfumato.errors import DataError

VOXELS = np.arange(4 * 5 * 6).reshape(4, 5, 6).astype(np.int16)
STEPS = np.diag([1.0, 2, 3, 1])


def saved(path: Path, voxels: np.ndarray = VOXELS, kind: type = nibabel.AnalyzeImage) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = kind(voxels, STEPS)
    image.set_data_dtype(voxels.dtype)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("kind", [nibabel.AnalyzeImage, nibabel.Nifti1Pair, nibabel.Nifti2Pair])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_as_nibabel_reads_it(tmp_path: Path, kind: type, dtype: str) -> None:
    path = saved(tmp_path / "a.hdr", VOXELS.astype(dtype), kind)
    volume, ours = read_volume(path), nibabel.load(path)
    assert np.array_equal(volume.voxels, np.asarray(ours.dataobj)) and volume.voxels.dtype == dtype
    assert np.allclose(volume.affine, ours.affine)
    assert read_header(path).shape == (4, 5, 6) and (NOTE in read_header(path).notes) == (kind is nibabel.AnalyzeImage)


def test_big_endian_compressed_and_scaled(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.hdr")
    path.write_bytes(nibabel.AnalyzeHeader(path.read_bytes()).as_byteswapped(">").binaryblock)
    (tmp_path / "a.img").write_bytes(VOXELS.astype(">i2").tobytes(order="F"))
    assert np.array_equal(read_volume(path).voxels, VOXELS)
    (tmp_path / "a.img.gz").write_bytes(gzip.compress((tmp_path / "a.img").read_bytes()))
    (tmp_path / "a.img").unlink()
    assert np.array_equal(read_volume(path).voxels, VOXELS)
    scaled = saved(tmp_path / "s.hdr", VOXELS.astype(np.float32) / 7, nibabel.Spm99AnalyzeImage)
    assert np.allclose(read_volume(scaled).voxels, np.asarray(nibabel.load(scaled).dataobj))


def test_a_study_of_pairs(tmp_path: Path) -> None:
    for number in range(3):
        for name in ("T1", "T2"):
            saved(tmp_path / f"subject-{number}-{name}.hdr")
        saved(tmp_path / f"subject-{number}-label.hdr", (VOXELS // 6 % 3 * 10).astype(np.uint8))
    found = find_cases(tmp_path)
    assert len(found.cases) == 18 and len(found.cases[0].channels) == 1 and "not used" not in " ".join(found.notes)
    assert f"{NOTE} (6 volumes)" in found.notes or f"{NOTE} (9 volumes)" in found.notes
    assert set(np.unique(read_mask(found.cases[0].masks[0]))) == {0, 10, 20}
    assert len(find_cases(tmp_path / "subject-1-T1.hdr").cases) == 6


def test_masks_in_nifti_lie_on_it(tmp_path: Path) -> None:
    saved(tmp_path / "images/a.hdr")
    for signs in ((-1, -1, 1), (1, 1, 1)):
        (tmp_path / "labels").mkdir(exist_ok=True)
        write_volume(tmp_path / "labels/a.nii.gz", (VOXELS > 60).astype(np.uint8), np.diag([*signs, 1]) @ STEPS)
        case = find_cases(tmp_path).cases[0]
        assert "laid on it voxel by voxel" in " ".join(find_cases(tmp_path).notes)
        assert read_mask(case.masks[0]).shape == (5, 4)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda folder: (folder / "a.img").unlink(), "DATA-030"),
        (lambda folder: (folder / "a.img").write_bytes(b"1234"), "DATA-006"),
        (lambda folder: (folder / "a.hdr").write_bytes((folder / "a.hdr").read_bytes()[:200]), "DATA-006"),
    ],
)
def test_broken_pairs(tmp_path: Path, change: object, code: str) -> None:
    path = saved(tmp_path / "a.hdr")
    change(tmp_path)  # type: ignore[operator]
    with pytest.raises(DataError) as caught:
        read_volume(path)
    assert caught.value.code == code


def test_other_headers_are_no_volumes(tmp_path: Path) -> None:
    for name, content in (("envi.hdr", b"ENVI\nsamples = 4\n"), ("light.hdr", b"#?RADIANCE\n")):
        (tmp_path / name).write_bytes(content)
        assert not is_volume(tmp_path / name)
    assert not is_volume(tmp_path / "none.hdr")
