"""Damaged files of every form: read as they were, or refused in words; never a crash, a warning or a long wait.

`benchmarks/fuzz.py` does the same for as long as one likes, with a limit on memory.
"""

import contextlib
import gzip
import struct
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import Phase, given, settings
from PIL import Image

from sfumato.data.facts import case_facts
from sfumato.data.formats.archive import array_headers
from sfumato.data.formats.image import read_image, read_mask
from sfumato.data.formats.scan import read_volume
from sfumato.data.inspection.inspect import inspect, measure_cases
from sfumato.data.manifest import Case
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import ReadOptions, find_cases
from sfumato.errors import DataError, UsageError

from .bad import OBJECT, PIXELS, png, tiff
from .bad_volumes import VOXELS, nifti
from .mutations import EDITS, Edit, check, damaged, write
from .sound import SOUND, STACK, Sound, npy, zipped

FILES = 15
"""Damaged files of each form."""


@pytest.mark.parametrize("sound", SOUND, ids=lambda sound: sound.name)
def test_damaged_files_are_refused_in_words(sound: Sound) -> None:
    accepted = check(sound, [])

    @settings(max_examples=FILES, phases=(Phase.generate,), derandomize=True, database=None, deadline=None)
    @given(edits=EDITS)
    def damage(edits: list[Edit]) -> None:
        check(sound, edits)

    assert accepted
    damage()


FOUND = (
    ("TIFF", Edit("drop", 10, 2, 0)),
    ("TIFF LZW", Edit("cut", -1, 1, 0)),
    ("TIFF palette", Edit("cut", 130, 1, 0)),
    ("npy", Edit("splice", 18, 1, 0)),
    ("npy of floats", Edit("repeat", 64, 1, 0)),
    ("npz with right sums", Edit("splice", 18, 1, 0)),
    ("manifest.csv", Edit("byte", 36, 1, 0)),
    ("NIfTI of floats", Edit("number", -79, 1, 4)),
    ("NIfTI 2", Edit("splice", 349, 1, 425)),
    ("NRRD", Edit("word", 6, 1, 223)),
    ("TIFF tiled", Edit("swap", 30, 5, 0)),
    ("DICOM RLE", Edit("word", 3, 1, 0)),
)
"""Damage that once was let through: warnings, other exceptions, memory."""


@pytest.mark.parametrize(("name", "edit"), FOUND)
def test_damage_that_was_let_through_once(name: str, edit: Edit) -> None:
    (sound,) = (sound for sound in SOUND if sound.name == name)
    check(sound, [edit])


def test_a_dicom_tag_cannot_ask_for_more_than_there_is(tmp_path: Path) -> None:
    (sound,) = (sound for sound in SOUND if sound.name == "DICOM RLE")
    content = damaged(sound, [Edit("word", 3, 1, 0)])
    (tmp_path / "a.dcm").write_bytes(content)
    assert most_memory(lambda: read_volume(tmp_path / "a.dcm")) < 2**24


def most_memory(read: Callable[[], object]) -> int:
    """Bytes that a read takes at most; it may refuse."""
    tracemalloc.start()
    try:
        with contextlib.suppress(DataError):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_lzw_is_read_without_a_further_library(tmp_path: Path) -> None:
    for pixels in (PIXELS, np.stack([PIXELS] * 3, axis=-1), PIXELS.astype(np.uint16) * 257, PIXELS / np.float32(7)):
        Image.fromarray(pixels).save(tmp_path / "a.tif", compression="tiff_lzw")
        read = read_image(str(tmp_path / "a.tif"))
        assert read.dtype == pixels.dtype and np.array_equal(read.squeeze(), pixels)


@pytest.mark.parametrize("channels", [2, 4])
def test_masks_of_floats_with_opacity(channels: int, tmp_path: Path) -> None:
    mask = (PIXELS > 100).astype(np.float32)
    stacked = np.stack([mask] * (channels - 1) + [np.ones_like(mask)], axis=-1)
    np.save(tmp_path / "a.npy", stacked)
    tifffile.imwrite(tmp_path / "a.tif", stacked, photometric="minisblack", planarconfig="contig")
    read = read_mask(str(tmp_path / "a.tif"))
    assert read.dtype.kind == "i" and np.array_equal(read, mask)
    if channels == 2:
        assert np.array_equal(read_image(str(tmp_path / "a.tif"))[..., 0], mask)
    stacked[0, 0, -1] = 0.5
    tifffile.imwrite(tmp_path / "a.tif", stacked, photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match="transparent"):
        read_mask(str(tmp_path / "a.tif"))


def test_a_mask_of_huge_floats_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 5), 1e30, np.float32))
    with pytest.raises(DataError, match="huge") as caught:
        read_mask(str(tmp_path / "a.tif"))
    assert caught.value.code == "DATA-014"


def test_a_tiled_tiff_that_was_cut_does_not_end_in_black(tmp_path: Path) -> None:
    content = tiff(PIXELS.astype(np.uint16) * 257, tile=(16, 16))
    for cut in range(440, 460):
        (tmp_path / "a.tif").write_bytes(content[:-cut])
        with pytest.raises(DataError, match="DATA-006"):
            read_image(str(tmp_path / "a.tif"))


def test_a_tiff_without_one_of_its_tiles_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(PIXELS, tile=(16, 16)))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        file.pages.first.tags["TileByteCounts"].overwrite((256, 0, 256, 256))
    with pytest.raises(DataError, match="1 of 4 strips or tiles"):
        read_image(str(tmp_path / "a.tif"))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "group4", "jpeg", "packbits", "tiff_adobe_deflate"])
def test_a_tiff_has_as_many_strips_as_it_is_high(compression: str | None, tmp_path: Path) -> None:
    """Whichever library unpacks it, rows that are in no strip would come back black."""
    image = Image.fromarray(OBJECT).convert("1") if compression == "group4" else Image.fromarray(PIXELS)
    image.save(tmp_path / "a.tif", compression=compression)
    assert read_image(str(tmp_path / "a.tif")).shape == (*PIXELS.shape, 1)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        file.pages.first.tags["RowsPerStrip"].overwrite(PIXELS.shape[0])
        file.pages.first.tags["ImageLength"].overwrite(30 * PIXELS.shape[0])
    with pytest.raises(DataError, match="DATA-006"):
        read_image(str(tmp_path / "a.tif"))


def test_a_tiff_cannot_ask_for_more_than_there_is(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(PIXELS))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        for name in ("ImageWidth", "ImageLength"):
            file.pages.first.tags[name].overwrite(9000)
    with pytest.raises(DataError, match="announces 81,000,000 bytes"):
        read_image(str(tmp_path / "a.tif"))


def test_an_array_header_cannot_ask_for_more_than_there_is(tmp_path: Path) -> None:
    content = bytearray(npy(PIXELS))
    content[6:12] = b"\2\0\xff\xff\xff\x7f"
    (tmp_path / "a.npy").write_bytes(content)
    assert most_memory(lambda: array_headers(tmp_path / "a.npy")) < 2**24


def test_an_archive_cannot_ask_for_more_than_there_is(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.png": png()}))
    place = content.index(b"PK\1\2") + 20
    content[place : place + 4] = b"\xff\xff\xff\x7f"
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match="announces 2,147,483,647 bytes"):
        find_cases(tmp_path / "a.zip")


def test_images_of_huge_floats_are_measured_in_silence(tmp_path: Path) -> None:
    values = np.linspace(-3e38, 3e38, PIXELS.size, dtype=np.float32).reshape(PIXELS.shape)
    np.save(tmp_path / "a.npy", values)
    facts = case_facts(Case(id="a", image=f"{tmp_path / 'a.npy'}:::"))
    assert facts.image is not None and np.ptp(np.frombuffer(facts.image.thumbnail, np.uint8)) == 255


def test_an_affine_of_astronomical_size_is_refused(tmp_path: Path) -> None:
    content = bytearray(nibabel.Nifti2Image(VOXELS, np.eye(4)).to_bytes())
    struct.pack_into("<d", content, 400, 1e14)  # srow_x[0] of NIfTI-2
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-032"


def test_a_sound_jpeg_with_odd_exif_is_read_in_silence(tmp_path: Path) -> None:
    """The same library reads EXIF and TIFF; only a TIFF that is cut is refused."""
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0\x0f\x01\x02\0")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert read_image(str(tmp_path / "a.jpg")).shape == (*PIXELS.shape, 1)
    assert not said


def test_a_single_idx_file_is_a_source(tmp_path: Path) -> None:
    (sound,) = (sound for sound in SOUND if sound.name == "IDX.gz")
    write(tmp_path, sound, sound.files[sound.target])
    (tmp_path / "y-labels-idx1-ubyte").write_bytes(b"of another set")
    found = find_cases(tmp_path / sound.target)
    assert "nobody said whose" in found.notes[0] and found.notes[1:] == ("classes of images: 0 (1), 1 (1), 2 (1)",)
    assert [(case.id, case.label) for case in found.cases] == [("x_0", "0"), ("x_1", "1"), ("x_2", "2")]
    assert np.array_equal(read_image(found.cases[1].image)[..., 0], STACK[1])
    (tmp_path / "x-labels-idx1-ubyte.gz").unlink()
    assert [case.label for case in find_cases(tmp_path / sound.target).cases] == [None] * 3


def test_a_column_that_no_table_has_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    with pytest.raises(UsageError, match="'x' \\(label\\)") as caught:
        find_cases(tmp_path, hints=ReadOptions(columns={"label": "x"}))
    assert "folders" in str(caught.value) and "--labels" in str(caught.value)
    (tmp_path / "t.csv").write_text("image,x\na.png,yes\n")
    assert find_cases(tmp_path, hints=ReadOptions(columns={"label": "x"})).classes == ("yes",)


def test_a_damaged_volume_is_told_once(tmp_path: Path) -> None:
    """By `check` and `prepare`, with the number of its planes; the sound one beside it is not told."""
    voxels = np.random.default_rng(0).integers(0, 99, (8, 9, 7)).astype(np.float32)
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "good.nii").write_bytes(nifti(voxels))
    for name in ("bad", "worse"):
        content = nifti(voxels)
        (tmp_path / "scans" / f"{name}.nii.gz").write_bytes(gzip.compress(content)[:-6])
    found = find_cases(tmp_path / "scans")
    with pytest.raises(DataError) as caught:
        for _ in prepare_cases(found, tmp_path / "out", PreparationSettings(size=(8, 8), workers=1)):
            pass
    told = str(caught.value)
    planes = len(found.cases) // 3
    assert told.count("bad.nii.gz") == told.count("worse.nii.gz") == 1 and "2 files" in told, told
    assert told.count(f"({planes} cases)") == 2
    facts = list(measure_cases(found.cases))
    (error,) = (finding for finding in inspect(found, facts).of("error") if finding.code == "DATA-006")
    assert f"({planes} cases)" in error.text and "1 more" in error.text and len(error.files) == 2


def test_remarks_on_many_volumes_are_counted(tmp_path: Path) -> None:
    for number in range(13):
        image = nibabel.Nifti1Image(VOXELS, None)
        (tmp_path / f"{number}.nii").write_bytes(image.to_bytes())
    notes = find_cases(tmp_path).notes
    assert sum("no orientation" in note for note in notes) == 10 and any("3 more remarks" in note for note in notes)
