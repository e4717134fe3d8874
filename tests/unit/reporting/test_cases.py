"""The pictures of a case: of a volume its most telling plane, of an archive its member."""

import base64
import io
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow

from sfumato.data.formats.image import write_image
from sfumato.reporting.content import Image
from sfumato.reporting.sections.cases import extreme_cases

SIDE = 24


def volume(file: Path, voxels: np.ndarray) -> str:
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-1.0, -1.0, 3.0, 1.0])), file)
    return str(file)


def labels(*squares: tuple[int, int]) -> np.ndarray:
    """Squares at (first voxel, plane) in a volume of 7 planes."""
    voxels = np.zeros((SIDE, SIDE, 7), np.uint8)
    for start, plane in squares:
        voxels[start : start + 8, start : start + 8, plane] = 1
    return voxels


def shown(folder: Path, image: str, reference: str, prediction: str) -> tuple[Image, np.ndarray]:
    """The picture of a case and its three views, height x (3 x width) x RGB."""
    row = {"id": "a", "dice": "0.5", "image": image, "reference": reference, "prediction": prediction}
    picture = extreme_cases(folder, [row])[0].pictures[0]
    with Pillow.open(io.BytesIO(base64.b64decode(picture.light.partition(",")[2]))) as file:
        return picture, np.asarray(file.convert("RGB")).astype(int)


def coloured(pixels: np.ndarray, columns: slice) -> tuple[int, int] | None:
    """From which row to which a part of the picture is not grey; outlines of references lie outside of them."""
    part = pixels[:, columns]
    rows = np.argwhere(part.max(2) - part.min(2) > 40)[:, 0]
    return (int(rows.min()), int(rows.max())) if len(rows) else None


@pytest.fixture
def scan(tmp_path: Path) -> str:
    ramp = np.broadcast_to(np.linspace(-1000, 1000, SIDE, dtype=np.float32)[:, None, None], (SIDE, SIDE, 7))
    return volume(tmp_path / "scan.nii.gz", np.ascontiguousarray(ramp))


def views(pixels: np.ndarray) -> tuple[slice, slice, slice]:
    left = pixels.shape[1] - 3 * SIDE  # what lies between the views
    starts = [number * (SIDE + left // 2) for number in range(3)]
    return tuple(slice(start, start + SIDE) for start in starts)  # type: ignore[return-value]


def test_a_volume_is_shown_where_its_reference_is_largest(tmp_path: Path, scan: str) -> None:
    reference = volume(tmp_path / "label.nii.gz", labels((2, 5), (10, 5), (2, 1)))
    prediction = volume(tmp_path / "drawn.nii.gz", labels((10, 5), (2, 1), (10, 1), (14, 1)))
    picture, pixels = shown(tmp_path, f"{scan}::axial/0", f"{reference}::axial/0", prediction)
    assert picture.caption == "a · Dice 0.500 · axial plane 5"
    image, outlined, filled = views(pixels)
    assert coloured(pixels, image) is None and np.ptp(pixels[:, image]) > 200
    assert coloured(pixels, outlined) == (1, 18) and coloured(pixels, filled) == (10, 17)


def test_a_volume_without_an_object_is_shown_where_one_was_predicted(tmp_path: Path, scan: str) -> None:
    """The planes of its masks begin two planes after those of the scan, as those of DICOM segmentations may."""
    reference = volume(tmp_path / "label.nii.gz", labels())
    prediction = volume(tmp_path / "drawn.nii.gz", labels((4, 2)))
    picture, pixels = shown(tmp_path, f"{scan}::axial/3", f"{reference}::axial/1", prediction)
    assert picture.caption.endswith("axial plane 4") and coloured(pixels, views(pixels)[2])


def test_a_member_of_an_archive_is_shown(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 4096, (2, SIDE, SIDE)).astype(np.uint16)
    masks = np.stack([labels()[..., 0], labels((6, 0))[..., 0]])
    np.savez(tmp_path / "data.npz", images=images, masks=masks)
    write_image(tmp_path / "drawn.png", 255 * masks[1])
    picture, pixels = shown(
        tmp_path, f"{tmp_path}/data.npz::images/1", f"{tmp_path}/data.npz::masks/1", f"{tmp_path}/drawn.png"
    )
    image, outlined, filled = views(pixels)
    assert picture.caption == "a · Dice 0.500" and np.ptp(pixels[:, image]) > 200
    assert coloured(pixels, outlined) == (5, 14) and coloured(pixels, filled) == (6, 13)


def test_a_file_that_is_gone_is_said(tmp_path: Path, scan: str) -> None:
    row = {"id": "a", "dice": "0.5", "image": f"{scan}::axial/0", "reference": "gone.nii.gz::axial/0"}
    (first, *_) = extreme_cases(tmp_path, [{**row, "prediction": str(tmp_path / "drawn.nii.gz")}])
    assert "cannot be shown: " in first.pictures[0].caption and "gone.nii.gz" in first.pictures[0].caption


def test_where_no_image_is_known_only_the_masks_are_shown(tmp_path: Path) -> None:
    """Never is the reference shown as the image."""
    write_image(tmp_path / "true.png", 255 * labels((2, 0))[..., 0])
    write_image(tmp_path / "drawn.png", labels()[..., 0])
    row = {"id": "a", "dice": "0", "image": "", "reference": "true.png", "prediction": "drawn.png"}
    gallery = extreme_cases(tmp_path, [row])[0]
    assert gallery.caption.startswith("The images are not known: left the reference (yellow)")
    assert gallery.pictures[0].caption == "a · Dice 0.000 · nothing predicted"
    picture, pixels = shown(tmp_path, "", str(tmp_path / "true.png"), str(tmp_path / "drawn.png"))
    outlined, filled = slice(0, SIDE), slice(pixels.shape[1] - SIDE, None)
    assert picture.width < 3 * SIDE and coloured(pixels, outlined) == (1, 10)
    assert coloured(pixels, filled) is None and not pixels[:, filled].any()
    assert pixels[5, 5].max() == 0  # within the outline nothing is drawn


def test_volumes_without_images_are_shown_in_the_plane_of_the_reference(tmp_path: Path) -> None:
    reference, prediction = volume(tmp_path / "l.nii.gz", labels((2, 5))), volume(tmp_path / "d.nii.gz", labels())
    picture, _ = shown(tmp_path, "", f"{reference}::axial/0", prediction)
    assert picture.caption == "a · Dice 0.500 · nothing predicted · axial plane 5" and picture.width < 3 * SIDE


def test_a_scan_that_is_named_as_a_whole_is_shown_in_the_plane_of_the_reference(tmp_path: Path, scan: str) -> None:
    reference, prediction = volume(tmp_path / "l.nii.gz", labels((2, 5))), volume(tmp_path / "d.nii.gz", labels((2, 5)))
    picture, pixels = shown(tmp_path, scan, f"{reference}::axial/0", prediction)
    assert picture.caption.endswith("axial plane 5") and np.ptp(pixels[:, views(pixels)[0]]) > 200


@pytest.mark.parametrize("name", ["{}/secret.png", "../secret.png", "link.png"])
def test_no_file_of_this_machine_is_shown_that_a_strangers_table_names(tmp_path: Path, name: str) -> None:
    scores = tmp_path / "scores"
    scores.mkdir()
    for file in (tmp_path / "secret.png", scores / "mask.png"):
        write_image(file, np.full((SIDE, SIDE), 200, np.uint8))
    (scores / "link.png").symlink_to(tmp_path / "secret.png")
    row = {"id": "a", "dice": "0.5", "image": name.format(tmp_path), "reference": "mask.png", "prediction": "mask.png"}
    picture = extreme_cases(scores, [row])[0].pictures[0]
    assert not picture.light and "not known here" in picture.caption
    assert extreme_cases(scores, [row | {"image": "mask.png"}])[0].pictures[0].light
