import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from sfumato.data.formats.scan import read_header, read_volume
from sfumato.data.toys.volume import make_toy_volumes
from sfumato.errors import UsageError


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scans"
    make_toy_volumes(folder, cases=4, size=32, mask_classes=4)
    return folder


def test_numbers_are_those_of_ct(scans: Path) -> None:
    """Air outside, the organ near its density, lesions apart from it."""
    for row in range(4):
        voxels = read_volume(scans / f"images/scan_{row:03d}.nii.gz").voxels
        labels = read_volume(scans / f"labels/scan_{row:03d}.nii.gz").voxels
        assert voxels.dtype == np.int16 and labels.dtype == np.uint8 and set(np.unique(labels)) <= {0, 1, 2, 3}
        assert voxels.min() < -950 and 300 < voxels.max() < 1000
        assert abs(np.median(voxels[labels == 1]) - 110) < 10
        if (labels == 2).sum() > 30:
            assert np.median(voxels[labels == 2]) < 90


def test_axes_and_spacing_differ_from_scan_to_scan(scans: Path) -> None:
    headers = [read_header(scans / f"images/scan_{row:03d}.nii.gz") for row in range(4)]
    assert ["".join(nibabel.aff2axcodes(header.affine)) for header in headers] == ["LPS", "RAS", "PSR", "LAS"]
    for row, header in enumerate(headers):
        steps = np.linalg.norm(header.affine[:3, :3], axis=0)
        assert 1.7 < steps.max() / steps.min() < 3.1 and header.shape[int(steps.argmax())] == 10
        assert (np.count_nonzero(np.round(header.affine[:3, :3], 3)) == 3) == (row % 2 == 0), "every second is tilted"
        assert read_header(scans / f"labels/scan_{row:03d}.nii.gz").label


def test_truth_is_what_the_labels_say(scans: Path) -> None:
    truth = json.loads((scans / "truth.json").read_text())
    assert truth["mask_classes"] == ["background", "organ", "lesion 1", "lesion 2"]
    for known in truth["volumes"]:
        labels = read_volume(scans / f"labels/{known['id']}.nii.gz")
        millilitres = abs(np.linalg.det(labels.affine[:3, :3])) / 1000
        for number, name in enumerate(truth["mask_classes"][1:], start=1):
            assert np.isclose((labels.voxels == number).sum() * millilitres, known["millilitres"][name], atol=0.1)


def test_a_scan_depends_on_its_number_and_seed(scans: Path, tmp_path: Path) -> None:
    make_toy_volumes(tmp_path / "few", cases=2, size=32, mask_classes=4)
    make_toy_volumes(tmp_path / "other", cases=2, size=32, mask_classes=4, seed=1)
    name = "images/scan_001.nii.gz"
    assert (tmp_path / "few" / name).read_bytes() == (scans / name).read_bytes()
    assert (tmp_path / "other" / name).read_bytes() != (scans / name).read_bytes()


def test_impossible_scans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least"):
        make_toy_volumes(tmp_path / "toy", mask_classes=9)
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UsageError, match="not empty"):
        make_toy_volumes(tmp_path)
