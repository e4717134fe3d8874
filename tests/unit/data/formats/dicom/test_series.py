"""DICOM: geometry, values and faults, on files that are made here or lie within pydicom."""

import logging
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from sfumato.data.formats.archive import Locator
from sfumato.data.formats.dicom import file as dicom_file
from sfumato.data.formats.dicom import pixels
from sfumato.data.formats.dicom import series as dicom
from sfumato.data.formats.dicom.drawn import seg_offset, write_seg
from sfumato.data.formats.image import read_image
from sfumato.data.formats.scan import read_header, read_plane, read_volume
from sfumato.data.source import ReadOptions, find_cases
from sfumato.errors import DataError

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.sequence import Sequence as Items  # noqa: E402
from pydicom.uid import (  # noqa: E402
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    generate_uid,
)  # fmt: skip

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)
FILES = Path(pydicom.__file__).parent / "data" / "test_files"
NOISE = np.random.default_rng(0).integers(0, 4000, (7, 4, 5)).astype(np.uint16)


def dataset(pixels: np.ndarray, **tags: Any) -> Dataset:
    """A CT slice (or frames) of unsigned 16-bit numbers; tags replace what stands here, None removes it."""
    rows, columns = pixels.shape[-3:-1] if pixels.shape[-1] == 3 and pixels.ndim > 2 else pixels.shape[-2:]
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID = CTImageStorage, generate_uid(prefix=None), "1.2.3"
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.Modality, ds.Rows, ds.Columns, ds.SamplesPerPixel = "CT", rows, columns, 1
    ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelSpacing, ds.ImageOrientationPatient = [0.5, 0.25], list(AXIAL)
    ds.PixelData = pixels.tobytes()
    for keyword, value in tags.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def write(path: Path, pixels: np.ndarray, **tags: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset(pixels, **tags).save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, heights: Sequence[float] = (0, 2, 4, 6), **tags: Any) -> Path:
    """Axial slices at some heights; the path that stands for the series."""
    for number, height in enumerate(heights):
        tags = {"RescaleSlope": 1, "RescaleIntercept": -1024} | tags
        write(folder / f"IM{number + 1}.dcm", NOISE[number], ImagePositionPatient=[10, 20, height], **tags)
    return folder / "IM1.dcm"


def refused(path: Path, code: str, *words: str) -> str:
    with pytest.raises(DataError) as caught:
        read_volume(path)
    assert caught.value.code == code, str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    return str(caught.value)


def test_planes_are_the_slices_by_position(tmp_path: Path) -> None:
    """Names run against positions; IM10 comes after IM2; values are Hounsfield units."""
    heights = {"IM2.dcm": 30, "IM10.dcm": 10, "IM1.dcm": 20}
    for number, (name, height) in enumerate(heights.items()):
        place = [10, 20, height]
        write(tmp_path / name, NOISE[number], ImagePositionPatient=place, RescaleSlope=1, RescaleIntercept=-1024)
    (listed,) = dicom.list_volumes(list(tmp_path.iterdir()))
    assert listed.path.name == "IM1.dcm" and [file.name for file in listed.files] == ["IM1.dcm", "IM2.dcm", "IM10.dcm"]
    volume = read_volume(tmp_path / "IM2.dcm")
    assert np.array_equal(volume.planes("axial"), NOISE[[1, 2, 0]].astype(int) - 1024)
    assert volume.voxels.shape == listed.header.shape == (5, 4, 3)
    assert volume.voxels.dtype == listed.header.dtype == np.int16
    assert np.allclose(volume.affine @ [4, 3, 2, 1], [-11.0, -21.5, 30.0, 1.0])
    assert listed.header.modality == "CT" and listed.kind == "image" and listed.notes == ()


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, OBLIQUE])
def test_every_voxel_lies_where_its_slice_says(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    rows, columns = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(rows, columns)
    for number in range(3):
        position = np.array([7.0, -3.0, 1.0]) - number * 1.5 * normal
        tags = {"ImagePositionPatient": list(position), "ImageOrientationPatient": list(orientation)}
        write(tmp_path / f"{number}.dcm", NOISE[number], **tags)
    volume = read_volume(tmp_path / "0.dcm")
    for number in range(3):
        place = np.array([7.0, -3.0, 1.0]) - number * 1.5 * normal + 4 * 0.25 * rows + 3 * 0.5 * columns
        ras = np.array([-place[0], -place[1], place[2], 1.0])
        i, j, k = np.linalg.solve(volume.affine, ras)[:3].round(4)
        assert (i, j) == (4, 3) and volume.voxels[4, 3, int(k)] == NOISE[number, 3, 4]


def test_a_folder_of_everything(tmp_path: Path) -> None:
    """Two series, an X-ray without position, a report, a DICOMDIR: three volumes, the rest counted by its kind."""
    write_series(tmp_path)
    for number in range(2):
        write(tmp_path / f"b{number}.dcm", NOISE[number], ImagePositionPatient=[0, 0, number], SeriesInstanceUID="1.9")
    write(tmp_path / "x.dcm", NOISE[0], ImageOrientationPatient=None, PixelSpacing=None, Modality="DX")
    shutil.copy(FILES / "reportsi.dcm", tmp_path)
    shutil.copy(FILES / "dicomdirtests" / "DICOMDIR", tmp_path)
    *volumes, report, directory = dicom.list_volumes(list(tmp_path.iterdir()))
    assert [(v.path.name, len(v.files)) for v in volumes] == [("IM1.dcm", 4), ("b0.dcm", 2), ("x.dcm", 1)]
    assert {directory.kind, report.kind} == {"skipped"} and directory.header is None
    assert report.notes == ("files without an image, left out: 1 (Basic Text SR Storage, such as reportsi.dcm)",)
    assert "Media Storage Directory" in directory.notes[0]
    assert volumes[2].notes == ("it has no pixel spacing; 1 mm is taken",)
    assert np.array_equal(read_plane(Locator(tmp_path / "x.dcm")), NOISE[0])
    refused(tmp_path / "reportsi.dcm", "DATA-040", "Basic Text SR Storage")


def test_all_problems_of_a_folder_at_once(tmp_path: Path) -> None:
    write_series(tmp_path / "gap", (0, 2, 6))
    (tmp_path / "text.dcm").write_text("patient: nobody\n" * 20)
    with pytest.raises(DataError, match=r"(?s)text\.dcm is no DICOM.*4\.00 mm between") as caught:
        dicom.list_volumes([tmp_path / "text.dcm", *(tmp_path / "gap").iterdir()])
    assert caught.value.code == "DATA-022"


@pytest.mark.parametrize(
    ("heights", "code", "words"),
    [
        ((0, 2, 4, 8, 10), "DATA-041", ("4.00 mm between", "IM3.dcm and", "IM4.dcm (1 missing)")),
        ((0, 2, 4, 6.6), "DATA-041", ("2.60 mm between",)),
        ((0, 2, 4, 2), "DATA-042", ("IM2.dcm and", "IM4.dcm")),
    ],
)
def test_gaps_and_copies_are_refused(tmp_path: Path, heights: Sequence[float], code: str, words: tuple[str]) -> None:
    refused(write_series(tmp_path, heights), code, *words)


@pytest.mark.parametrize("said", [None, 0.625])
def test_positions_that_jitter_are_even(tmp_path: Path, said: float | None) -> None:
    """By hundredths of a step, in the image and in the segmentation drawn on it, which lacks planes."""
    heights = 0.625 * np.arange(7) + np.random.default_rng(0).uniform(-0.02, 0.02, 7).round(3)
    image = write_series(tmp_path / "image", heights.tolist(), **({} if said is None else {"SliceThickness": said}))
    header = read_header(image)
    assert np.linalg.norm(header.affine[:3, 2]) == pytest.approx(0.625, abs=1e-6 if said else 0.005)
    assert header.affine[2, 3] == pytest.approx(0, abs=0.02)
    assert any("taken as even" in note for note in header.notes)
    seg = segmentation(tmp_path / "seg.dcm", np.ones((4, 4, 5), np.uint8), heights[2:6].tolist())
    assert read_header(seg).shape[2] == 4 and seg_offset(image, seg, "axial") == 2


def test_what_is_no_volume_is_left_out_beside_one(tmp_path: Path) -> None:
    """Localizers, said to be such or seen by their directions, a bolus that is tracked, a screenshot."""
    study = {"StudyInstanceUID": "1.7"}
    write_series(tmp_path, **study)
    for number, turn in enumerate((AXIAL, SAGITTAL, OBLIQUE)):
        place = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": list(turn)} | study
        write(tmp_path / f"loc/{number}.dcm", NOISE[number], SeriesInstanceUID="1.4", **place)
        write(
            tmp_path / f"bolus{number}.dcm", NOISE[0], ImagePositionPatient=[0, 0, 1], SeriesInstanceUID="1.5", **study
        )
    scout = {"ImagePositionPatient": [0, 0, 9], "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]} | study
    write(tmp_path / "scout.dcm", NOISE[0], **scout)  # of the same series
    shot = {"SOPClassUID": SecondaryCaptureImageStorage, "SeriesInstanceUID": "1.6", "Modality": "OT"} | study
    write(tmp_path / "shot.dcm", NOISE[0], ImageOrientationPatient=None, **shot)
    (volume, *aside) = dicom.list_volumes(list(tmp_path.rglob("*.dcm")))
    assert len(volume.files) == 4 and read_volume(volume.path).voxels.shape == (5, 4, 4)
    assert {listed.kind for listed in aside} == {"skipped"}
    said = " ".join(note for listed in aside for note in listed.notes)
    for words in (
        "a localizer",
        "several directions",
        "images of one place",
        "a secondary capture",
        "3 files, such as 0.dcm",
    ):
        assert words in said


def test_without_a_volume_nothing_is_left_out(tmp_path: Path) -> None:
    kind = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    path = write(tmp_path / "scout.dcm", NOISE[0], ImagePositionPatient=[0, 0, 9], ImageType=kind)
    assert [listed.kind for listed in dicom.list_volumes([path])] == ["image"]
    for number, turn in enumerate((AXIAL, SAGITTAL)):
        place = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": list(turn)}
        write(tmp_path / f"b/{number}.dcm", NOISE[number], **place)
    with pytest.raises(DataError, match="not parallel"):
        dicom.list_volumes(list((tmp_path / "b").iterdir()))


def test_rounded_positions_are_no_gap(tmp_path: Path) -> None:
    assert read_volume(write_series(tmp_path, (0, 0.31, 0.62, 0.94, 1.25))).voxels.shape[2] == 5


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"ImagePositionPatient": [10, 21, 8]}, "7.1 degrees off the normal (gantry tilt"),
        ({"ImageOrientationPatient": list(SAGITTAL)}, "1 other slices are not parallel"),
        ({"PixelSpacing": [0.5, 0.5]}, "different pixels"),
        ({"Columns": 4, "Rows": 5}, "other slices of its series differ"),
    ],
)
def test_slices_that_make_no_volume(tmp_path: Path, tags: dict[str, Any], words: str) -> None:
    path = write_series(tmp_path)
    write(tmp_path / "IM5.dcm", NOISE[4], **{"ImagePositionPatient": [10, 20, 8]} | tags)
    refused(path, "DATA-043", words, "IM5.dcm")


@pytest.mark.parametrize(
    ("tags", "value", "dtype"),
    [
        ({}, 3000, np.uint16),
        ({"RescaleSlope": 2, "RescaleIntercept": -10}, 5990, np.int16),
        ({"RescaleSlope": 0.5, "RescaleIntercept": 0}, 1500, np.float32),
        ({"RescaleSlope": 20, "RescaleIntercept": 0}, 60000, np.int32),
        ({"BitsStored": 10, "HighBit": 9}, 3000 % 1024, np.uint16),
        ({"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1}, 3000 - 4096, np.int16),
        ({"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}, 4095 - 3000, np.uint16),
        ({"PhotometricInterpretation": "MONOCHROME1", "RescaleIntercept": -1000}, 2000, np.int16),
    ],
)
def test_stored_numbers_become_values(tmp_path: Path, tags: dict[str, Any], value: float, dtype: type) -> None:
    path = write(tmp_path / "a.dcm", np.full((4, 5), 3000, np.uint16), ImagePositionPatient=[0, 0, 0], **tags)
    voxels = read_volume(path).voxels
    assert (voxels == value).all() and voxels.dtype == dtype
    assert (read_header(path).dtype == dtype) == (dtype != np.int32)


def test_a_table_turns_numbers_into_values(tmp_path: Path) -> None:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [3, 0, 16])
    table.add_new("LUTData", "US", [5, 7, 900])
    pixels = np.array([[0, 1], [2, 2]], np.uint16)
    path = write(tmp_path / "a.dcm", pixels, ModalityLUTSequence=Items([table]), ImagePositionPatient=[0, 0, 0])
    assert read_plane(Locator(path)).tolist() == [[5, 7], [900, 900]]


def test_padding_gets_the_smallest_value_within(tmp_path: Path) -> None:
    """Some write -2000 as the unsigned number of the same bits; what takes its place is one value in all slices."""
    for number, padding in enumerate((-2000, 63536)):
        pixels = np.array([[-2000, 100 - 50 * number], [200, -2000]], np.int16)
        tags = {"PixelRepresentation": 1, "ImagePositionPatient": [0, 0, number], "RescaleIntercept": -1000}
        ds = dataset(pixels, **tags)
        ds.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
        ds.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    planes = read_volume(tmp_path / "0.dcm").planes("axial")
    assert planes.tolist() == [[[-950, -900], [-800, -950]], [[-950, -950], [-800, -950]]]


@pytest.mark.parametrize(("function", "window"), [("LINEAR", (-160.0, 239.0)), ("LINEAR_EXACT", (-160.0, 240.0))])
def test_window(tmp_path: Path, function: str, window: tuple[float, float]) -> None:
    tags = {"WindowCenter": [40, 300], "WindowWidth": [400, 1500], "VOILUTFunction": function}
    path = write_series(tmp_path / "same", **tags)
    assert read_header(path).window == window
    write(tmp_path / "same" / "IM9.dcm", NOISE[0], ImagePositionPatient=[10, 20, 8], WindowCenter=1, WindowWidth=9)
    assert read_header(path).window is None
    inverted = {"PhotometricInterpretation": "MONOCHROME1", "RescaleIntercept": 0, "WindowWidth": 401}
    path = write_series(tmp_path / "turned", **tags | inverted | {"VOILUTFunction": "LINEAR"})
    assert read_header(path).window == (65535 - 239.5, 65535 + 160.5)


@pytest.mark.parametrize("kind", ["bigendian", "expb", "implicit", "RLE", "jp2klossless", "jpeg_ls_lossless"])
def test_transfer_syntaxes(tmp_path: Path, kind: str) -> None:
    for name in ("MR_small", f"MR_small_{kind}"):
        shutil.copy(FILES / f"{name}.dcm", tmp_path / f"{name}.dcm")
        shutil.move(tmp_path / f"{name}.dcm", (tmp_path / name).with_suffix(".ima"))
    one, other = (read_volume(folder_of(tmp_path, name)) for name in ("MR_small", f"MR_small_{kind}"))
    assert np.array_equal(one.voxels, other.voxels) and np.ptp(one.voxels) > 1000


def folder_of(folder: Path, name: str) -> Path:
    """A file moved into a folder of its own: these files share a series."""
    own = folder / name
    own.mkdir()
    return Path(shutil.move(own.with_suffix(".ima"), own / f"{name}.dcm"))


@pytest.mark.parametrize(
    "name",
    ["SC_rgb_rle", "SC_rgb_jpeg_dcmtk", "SC_rgb_dcmtk_+eb+cy+n2", "SC_ybr_full_422_uncompressed", "SC_rgb_gdcm_KY"],
)
def test_colours_become_rgb(tmp_path: Path, name: str) -> None:
    """The same colour bars: red at the top."""
    path = Path(shutil.copy(FILES / f"{name}.dcm", tmp_path))
    plane = read_plane(Locator(path))
    assert plane.shape == (100, 100, 3) == (*read_header(path).shape[:2], 3) and plane.dtype == np.uint8
    assert np.abs(plane[5, 50].astype(int) - [255, 0, 0]).max() < 6 and plane[95, 50].min() > 250


def test_palettes_become_rgb(tmp_path: Path) -> None:
    path = Path(shutil.copy(FILES / "examples_palette.dcm", tmp_path))
    plane = read_plane(Locator(path))
    assert plane.shape == (350, 800, 3) and plane.dtype == read_header(path).dtype == np.uint8
    assert len(np.unique(plane.reshape(-1, 3), axis=0)) > 50


def test_a_cine_is_planes_one_behind_the_other(tmp_path: Path) -> None:
    path = Path(shutil.copy(FILES / "examples_ybr_color.dcm", tmp_path))
    volume = read_volume(path)
    expected = pydicom.dcmread(path).pixel_array
    assert np.array_equal(volume.planes("axial"), expected) and volume.voxels.shape == read_header(path).shape
    assert np.allclose(np.abs(volume.affine.diagonal())[2:], 1)


def region(step: float, *, unit: int = 3, form: int = 1) -> Dataset:
    """A region of an ultrasound image, its steps in centimetres unless another unit is said."""
    ds = Dataset()
    ds.RegionSpatialFormat, ds.PhysicalUnitsXDirection, ds.PhysicalUnitsYDirection = form, unit, unit
    ds.PhysicalDeltaX, ds.PhysicalDeltaY = step, 2 * step
    return ds


@pytest.mark.parametrize(
    ("regions", "steps"),
    [
        ([region(0.03)], (0.3, 0.6)),
        ([region(0.03), region(0.5, form=2), region(0.7, unit=4)], (0.3, 0.6)),
        ([region(0.03), region(0.04)], (1, 1)),
        ([region(0.7, unit=4)], (1, 1)),
    ],
)
def test_regions_of_ultrasound_say_how_large_pixels_are(
    tmp_path: Path, regions: list[Dataset], steps: tuple[float, float]
) -> None:
    tags = {"ImageOrientationPatient": None, "PixelSpacing": None, "Modality": "US"}
    header = read_header(write(tmp_path / "a.dcm", NOISE[0], SequenceOfUltrasoundRegions=Items(regions), **tags))
    assert np.allclose(np.abs(header.affine.diagonal())[:2], steps)
    assert bool(header.notes) == (steps == (1, 1))


def test_spacings_of_zero_are_named_and_passed_over(tmp_path: Path) -> None:
    none = read_header(write(tmp_path / "a/a.dcm", NOISE[0], PixelSpacing=[0, 0]))
    assert np.allclose(np.abs(none.affine.diagonal())[:2], 1)
    assert "PixelSpacing is 0/0" in " ".join(none.notes) and "1 mm is taken" in " ".join(none.notes)
    refused(write(tmp_path / "c/c.dcm", NOISE[0], PixelSpacing=[0.5, 0]), "DATA-046", "PixelSpacing is 0.5/0")
    other = read_header(write(tmp_path / "b/b.dcm", NOISE[0], PixelSpacing=[0, 0], ImagerPixelSpacing=[0.5, 0.25]))
    assert np.allclose(np.abs(other.affine.diagonal())[:2], (0.25, 0.5))


def test_colours_of_16_bits(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 65536, (4, 5, 3)).astype(np.uint16)
    tags = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    path = write(tmp_path / "a.dcm", colours, ImageOrientationPatient=None, **tags)
    (case,) = find_cases(path.parent).cases
    assert np.array_equal(read_image(case.image), colours)


@pytest.mark.parametrize("big", [False, True])
def test_palettes_of_16_bits_in_both_orders_of_bytes(tmp_path: Path, big: bool) -> None:
    ds = dataset(NOISE[0].astype(np.uint8), PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8)
    ds.BitsStored, ds.HighBit = 8, 7
    ramps = [np.random.default_rng(number).integers(0, 65536, 256) for number in range(3)]
    for name, ramp in zip(("Red", "Green", "Blue"), ramps, strict=True):
        ds.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        ds.add_new(f"{name}PaletteColorLookupTableData", "OW", ramp.astype(">u2" if big else "<u2").tobytes())
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian if big else ExplicitVRLittleEndian
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    expected = np.stack([ramp[NOISE[0].astype(np.uint8)] >> 8 for ramp in ramps], axis=-1)
    assert np.array_equal(read_plane(Locator(tmp_path / "a.dcm")), expected)


def lossless(path: Path, voxels: np.ndarray) -> Path:
    """What ITK writes as lossless JPEG."""
    writer = SimpleITK.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.Execute(SimpleITK.GetImageFromArray(voxels))
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_lossless_jpeg(tmp_path: Path, capfd: pytest.CaptureFixture[str], dtype: type) -> None:
    """Every number comes back, and nothing is said; what was cut and ended anew is refused."""
    voxels = np.random.default_rng(0).integers(0, 250, (1, 30, 40)).astype(dtype) - (1000 if dtype is np.int16 else 0)
    path = lossless(tmp_path / "a.dcm", voxels.astype(dtype))
    ds = pydicom.dcmread(path)
    assert ds.file_meta.TransferSyntaxUID.endswith("4.70")
    assert np.array_equal(read_plane(Locator(path)), voxels[0])
    frame = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1)).rstrip(b"\0")
    for size in (len(frame) // 2, len(frame) - 40):
        half = frame[:size] + b"\xff\xd9"
        ds.PixelData = pydicom.encaps.encapsulate([half + b"\0" * (len(half) % 2)])
        ds.save_as(tmp_path / "a.dcm")
        refused(tmp_path / "a.dcm", "DATA-006", "frame 1")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["JPGExtended", "SC_rgb_jpeg_gdcm"])
def test_jpeg_that_pydicom_does_not_decode(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    path = Path(shutil.copy(FILES / f"{name}.dcm", tmp_path))
    found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[0]
    capfd.readouterr()
    assert np.array_equal(read_volume(path).planes("axial")[0], found) and np.ptp(found) > 200
    assert capfd.readouterr().err == ""


def enhanced(path: Path, heights: Sequence[float], frames: np.ndarray = NOISE) -> Path:
    """A multi-frame CT whose frames have places and slopes of their own."""
    shared, groups = Dataset(), []
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Items([Dataset()]), Items([Dataset()])
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence[0].PixelSpacing = [0.5, 0.25]
    for number, height in enumerate(heights):
        group = Dataset()
        group.PlanePositionSequence, group.PixelValueTransformationSequence = Items([Dataset()]), Items([Dataset()])
        group.PlanePositionSequence[0].ImagePositionPatient = [0, 0, height]
        group.PixelValueTransformationSequence[0].RescaleSlope = 1
        group.PixelValueTransformationSequence[0].RescaleIntercept = -number
        groups.append(group)
    tags = {"PixelSpacing": None, "ImageOrientationPatient": None, "NumberOfFrames": len(heights)}
    tags |= {"SharedFunctionalGroupsSequence": Items([shared]), "PerFrameFunctionalGroupsSequence": Items(groups)}
    return write(path, frames[: len(heights)], **tags)


def test_frames_have_their_own_places_and_slopes(tmp_path: Path) -> None:
    path = enhanced(tmp_path / "a.dcm", (4, 0, 2))
    volume = read_volume(path)
    expected = np.stack([NOISE[1] - 1.0, NOISE[2] - 2.0, NOISE[0]])
    assert np.array_equal(volume.planes("axial"), expected) and volume.voxels.dtype == np.int16
    assert np.allclose(volume.affine, np.diag([-0.25, -0.5, 2, 1]))
    refused(enhanced(tmp_path / "b.dcm", (4, 0, 4)), "DATA-042", "b.dcm frame 1")


def test_no_preamble(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.dcm", NOISE[0], ImagePositionPatient=[0, 0, 0])
    bare = tmp_path / "bare" / "b.dcm"
    bare.parent.mkdir()
    for start in (132, whole.read_bytes().index(b"\x08\0\x16\0UI")):
        bare.write_bytes(whole.read_bytes()[start:])
        assert np.array_equal(read_plane(Locator(bare)), NOISE[0]) and dicom_file.is_dicom(bare)
        assert "no preamble" in read_header(bare).notes[0]
        bare.unlink()


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "DATA-003"), (b"\x08\0\xff", "DATA-005"), (b"not DICOM at all " * 20, "DATA-005")]
)
def test_what_is_no_dicom(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    refused(path, code)
    assert not dicom_file.is_dicom(path) and not dicom_file.is_dicom(tmp_path / "absent")


@pytest.mark.parametrize(
    ("tags", "code", "words"),
    [
        ({"Rows": 60000, "Columns": 60000}, "DATA-007", "60000 x 60000"),
        ({"Rows": 600}, "DATA-006", "40 of 6,000 bytes"),
        ({"Rows": 0}, "DATA-046", "5 x 0 pixels"),
        ({"NumberOfFrames": 10**9}, "DATA-007", "1000000000 frames"),
        ({"NumberOfFrames": 4}, "DATA-006", "40 of 160 bytes"),
        ({"PixelData": None}, "DATA-006", "ends before its pixels"),
        ({"Rows": None}, "DATA-006", "ends before the size"),
        ({"SamplesPerPixel": 2}, "DATA-046", "2 numbers per pixel"),
        ({"PixelSpacing": [0.0, 1.0]}, "DATA-046", "PixelSpacing is 0/1"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1]}, "DATA-046", "no sensible value"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "DATA-043", "right angles"),
        ({"HighBit": 7}, "DATA-046", "HighBit"),
        ({"TotalPixelMatrixColumns": 9, "NumberOfFrames": 2}, "DATA-046", "tiles"),
    ],
)
def test_damaged_files(tmp_path: Path, tags: dict[str, Any], code: str, words: str) -> None:
    path = write(tmp_path / "a.dcm", NOISE[0], **{"ImagePositionPatient": [0, 0, 0]} | tags)
    refused(path, code, words, "a.dcm")


def test_cut_anywhere_is_never_an_image(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole" / "a.dcm", NOISE[0], ImagePositionPatient=[0, 0, 0]).read_bytes()
    path = tmp_path / "a.dcm"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            dicom.read_volume(path)


@pytest.mark.parametrize("name", ["SC_rgb_small_odd_jpeg", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless"])
def test_a_compressed_frame_that_was_cut(tmp_path: Path, name: str) -> None:
    ds = pydicom.dcmread(FILES / f"{name}.dcm")
    frame = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
    half = frame[: len(frame) // 2]
    ds.PixelData = pydicom.encaps.encapsulate([half + b"\0" * (len(half) % 2)])
    ds.save_as(tmp_path / "a.dcm")
    refused(tmp_path / "a.dcm", "DATA-006", "end mark is missing")


@pytest.mark.parametrize("name", ["SC_rgb_small_odd_jpeg", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless"])
def test_a_compressed_frame_that_was_cut_and_ended_anew(tmp_path: Path, name: str) -> None:
    ds = pydicom.dcmread(FILES / f"{name}.dcm")
    frame = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1)).rstrip(b"\0")
    for size in (len(frame) // 2, len(frame) - 40, len(frame) - 12):
        half = frame[:size] + b"\xff\xd9"
        ds.PixelData = pydicom.encaps.encapsulate([half + b"\0" * (len(half) % 2)])
        ds.save_as(tmp_path / "a.dcm")
        refused(tmp_path / "a.dcm", "DATA-006", "frame 1")


def test_a_missing_decoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "find_spec", lambda _: None)
    path = Path(shutil.copy(FILES / "SC_rgb_jpeg_gdcm.dcm", tmp_path))
    refused(path, "DATA-044", "JPEG Lossless, Non-Hierarchical", "sfumato[dicom]")

    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(dicom_file, "import_module", absent)
    refused(write(tmp_path / "a.dcm", NOISE[0]), "DATA-034", "pydicom", "pip install 'sfumato[dicom]'")


def test_deflated_files_and_bombs(tmp_path: Path) -> None:
    good = Path(shutil.copy(FILES / "image_dfl.dcm", tmp_path))
    assert read_volume(good).voxels.shape == (512, 512, 1)
    content = good.read_bytes()
    meta = 144 + int.from_bytes(content[140:144], "little")
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = tmp_path / "bomb.dcm"
    bomb.write_bytes(content[:meta] + squeeze.compress(bytes(2**26)) + squeeze.flush())
    assert bomb.stat().st_size < 100_000
    refused(bomb, "DATA-007", "grows to more than")


def test_the_libraries_say_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Values of tags are in no warning (an error here), log or message; odd lengths and characters do no harm."""
    ds = dataset(NOISE[0], ImagePositionPatient=[0, 0, 0], SpecificCharacterSet="ISO_IR 999", Modality="CT")
    ds.add_new(0x00091001, "UN", b"x" * 100_001)
    with dicom_file.quiet():
        ds.StudyInstanceUID = "1.2.SECRET"
        ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    content = (tmp_path / "a.dcm").read_bytes()
    with caplog.at_level(logging.DEBUG):
        assert read_volume(tmp_path / "a.dcm").voxels.shape == (5, 4, 1)
        (tmp_path / "a.dcm").write_bytes(content.replace(b"0.5\\0.25", b"SECRET\\1"))
        message = refused(tmp_path / "a.dcm", "DATA-046")
    assert "SECRET" not in caplog.text + message
    assert logging.getLogger("pydicom").level != logging.CRITICAL + 1


def segmentation(path: Path, masks: np.ndarray, heights: Sequence[float], **options: Any) -> Path:
    """A segmentation (slices, rows, columns[, segments]) as highdicom writes it, of slices at some heights."""
    sources = []
    for height in heights:
        source = dataset(NOISE[0], ImagePositionPatient=[10, 20, height], FrameOfReferenceUID="1.2.9")
        source.StudyInstanceUID = "1.2.8"
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(source, keyword, "")
        source.StudyDate, source.StudyTime, source.SliceThickness = "", "", heights[1] - heights[0]
        sources.append(source)
    code = pydicom.sr.codedict.codes.SCT.Tissue
    count = masks.shape[3] if masks.ndim == 4 else int(masks.max())
    described = [highdicom.seg.SegmentDescription(n + 1, f"organ {n + 1}", code, code, "MANUAL") for n in range(count)]
    made = highdicom.seg.Segmentation(
        sources, masks, **{"segmentation_type": "BINARY"} | options, segment_descriptions=described,
        series_instance_uid="1.2.7", series_number=1, sop_instance_uid=generate_uid(prefix=None), instance_number=1,
        manufacturer="x", manufacturer_model_name="x", software_versions="1", device_serial_number="1",
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)
    return path


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segmentations_lack_empty_planes(tmp_path: Path, kind: str) -> None:
    """Planes 2 and 4 of six are stored; on its own grid the segmentation has three, the middle one empty."""
    heights = [0, 2, 4, 6, 8, 10]
    image = write_series(tmp_path / "image", heights)
    masks = np.zeros((6, 4, 5), np.uint8)
    masks[2, 1, :3], masks[4, 2:, 4], masks[4, 0, 0] = 1, 2, 1
    seg = segmentation(tmp_path / "seg" / "label.dcm", masks, heights, segmentation_type=kind)
    header, volume = read_header(seg), read_volume(seg)
    assert header.label and header.names == {1: "organ 1", 2: "organ 2"}
    assert header.shape == volume.voxels.shape == (5, 4, 3) and header.dtype == volume.voxels.dtype == np.uint8
    assert np.array_equal(volume.planes("axial"), masks[2:5]) and np.array_equal(volume.affine, header.affine)
    offset = seg_offset(image, seg, "axial")
    planes = [read_plane(Locator(seg, f"axial/{number - offset}")) for number in range(6)]
    assert offset == 2 and np.array_equal(planes, masks)
    with pytest.raises(DataError, match=r"it may lack sagittal planes only(?s:.*)--slice-axis"):
        seg_offset(image, seg, "sagittal")
    with pytest.raises(DataError, match="no such plane"):
        read_plane(Locator(image, "axial/-1"))


def test_a_segmentation_finds_its_image(tmp_path: Path) -> None:
    """By its series where that is among the files, else nothing."""
    image = write_series(tmp_path / "image")
    other = write_series(tmp_path / "other", SeriesInstanceUID="1.5")
    seg = segmentation(tmp_path / "seg.dcm", np.ones((4, 4, 5), np.uint8), [0, 2, 4, 6])
    found = {v.path: v for v in dicom.list_volumes([seg, *image.parent.iterdir(), *other.parent.iterdir()])}
    assert found[seg].kind == "label" and found[seg].header.reference == (image,)
    assert dicom.list_volumes([seg])[0].header.reference == ()


@pytest.mark.parametrize(
    ("heights", "shape", "words"),
    [
        ((0, 2, 4, 6), (4, 5, 5), "5 x 5 x 4 voxels instead of 5 x 4 x 4"),
        ((0, 2.1, 4.2, 6.3), (4, 4, 5), "spacing"),
        ((0.4, 2.4, 4.4, 6.4), (4, 4, 5), "origin"),
    ],
)
def test_a_segmentation_beside_the_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heights: tuple[float, ...], shape: tuple[int, ...], words: str
) -> None:
    image = write_series(tmp_path / "image")
    monkeypatch.setitem(globals(), "NOISE", np.zeros((9, *shape[1:]), np.uint16))
    seg = segmentation(tmp_path / "seg.dcm", np.ones(shape, np.uint8), heights)
    with pytest.raises(DataError, match=words) as caught:
        seg_offset(image, seg, "axial")
    assert caught.value.code == "DATA-012"


def test_overlapping_segments_are_named(tmp_path: Path) -> None:
    masks = np.zeros((4, 4, 5, 2), np.uint8)
    masks[1, :2, :, 0] = masks[1, 1:3, :3, 1] = 1
    seg = segmentation(tmp_path / "seg.dcm", masks, [0, 2, 4, 6])
    refused(seg, "DATA-045", "1 (organ 1) and 2 (organ 2) share 3 voxels")


def test_probabilities_are_no_labels(tmp_path: Path) -> None:
    masks = np.ones((4, 4, 5), np.float32) / 2
    seg = segmentation(
        tmp_path / "seg.dcm", np.repeat(masks[..., None], 1, 3), [0, 2, 4, 6], segmentation_type="FRACTIONAL"
    )
    refused(seg, "DATA-046", "probabilities")


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE])
def test_what_is_written_is_read(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    """By this reader, by pydicom and by highdicom: mask, places, spacing, names."""
    normal = np.cross(orientation[:3], orientation[3:])
    for number in range(4):
        place = {"ImagePositionPatient": list(number * 3.3 * normal + 1 / 3)}
        write(tmp_path / "image" / f"{number}.dcm", NOISE[number], ImageOrientationPatient=list(orientation), **place)
    source, path = tmp_path / "image" / "0.dcm", tmp_path / "seg.dcm"
    masks = np.random.default_rng(1).integers(0, 3, (5, 4, 4)).astype(np.uint8)
    masks[..., 3] = 0
    write_seg(path, masks, source, names=("liver", "Läsion"))
    ours, header = read_volume(path), read_header(path)
    assert np.array_equal(ours.voxels, masks) and header.names == {1: "liver", 2: "Läsion"}
    assert np.allclose(ours.affine, read_header(source).affine, atol=1e-6)
    assert seg_offset(source, path, "axial") == 0
    with dicom_file.quiet():
        theirs = highdicom.seg.segread(path).get_volume(combine_segments=True)
    k, j, i = np.argwhere(theirs.array == 2)[0]
    lps = theirs.affine @ [k, j, i, 1]
    assert masks[tuple(np.linalg.solve(ours.affine, lps * [-1, -1, 1, 1])[:3].round(4).astype(int))] == 2
    assert np.array_equal(np.bincount(theirs.array.ravel()), np.bincount(masks.ravel()))
    assert np.allclose(theirs.spacing, (3.3, 0.5, 0.25))
    ds = pydicom.dcmread(path)
    assert (ds.SOPClassUID, ds.NumberOfFrames, ds.SegmentationType) == (SegmentationStorage, 8, "BINARY")
    places = [group.PlanePositionSequence[0].ImagePositionPatient for group in ds.PerFrameFunctionalGroupsSequence]
    order = np.argsort((np.array(places)[:4] - 1 / 3) @ normal)
    assert np.array_equal(ds.pixel_array[:4][order], (masks == 1).transpose(2, 1, 0))


STUDY = {
    "StudyInstanceUID": "1.7", "FrameOfReferenceUID": "1.8", "PatientID": "P1", "PatientName": "A^B", "SeriesNumber": 3,
    "StudyDate": "20200101", "StudyTime": "101010", "AccessionNumber": "A1",
}  # fmt: skip


def test_a_linked_segmentation_belongs_to_the_study_of_its_image(tmp_path: Path) -> None:
    """Its frames refer to the slices that they lie on, whatever the order of files; the plain one refers to nothing."""
    source, seg = write_series(tmp_path / "image", (6, 2, 4, 0), **STUDY), tmp_path / "seg.dcm"
    masks = np.random.default_rng(1).integers(0, 3, (5, 4, 4)).astype(np.uint8)
    write_seg(seg, masks, source, names=("a", "b"), link=True)
    written = pydicom.dcmread(seg)
    assert all(str(written[name].value) == str(STUDY[name]) for name in STUDY if name != "SeriesNumber")
    assert [item.SeriesInstanceUID for item in written.ReferencedSeriesSequence] == ["1.2.3"]
    assert written.SeriesInstanceUID != "1.2.3"
    heights = {ds.SOPInstanceUID: ds.ImagePositionPatient[2] for ds in map(pydicom.dcmread, source.parent.iterdir())}
    for frame in written.PerFrameFunctionalGroupsSequence:
        (drawn_on,) = frame.DerivationImageSequence[0].SourceImageSequence
        place = frame.PlanePositionSequence[0].ImagePositionPatient[2]
        assert heights[drawn_on.ReferencedSOPInstanceUID] == place
    assert np.array_equal(read_volume(seg).voxels, masks) and seg_offset(source, seg, "axial") == 0
    found = {listed.path: listed for listed in dicom.list_volumes([seg, *source.parent.iterdir()])}
    assert found[seg].header.reference == (source,)


def test_what_names_no_study_cannot_be_linked_to(tmp_path: Path) -> None:
    source = write_series(tmp_path / "image")
    with pytest.raises(DataError, match="StudyInstanceUID") as caught:
        write_seg(tmp_path / "seg.dcm", np.zeros((5, 4, 4), np.uint8), source, names=("a",), link=True)
    assert "--link" in str(caught.value.remedy)


def test_a_segmentation_that_lists_no_series_finds_its_image(tmp_path: Path) -> None:
    """By the files that its frames name, else by the frame of reference where one image alone lies in it."""
    source, seg = write_series(tmp_path / "image", **STUDY), tmp_path / "seg.dcm"
    write_series(tmp_path / "other", **(STUDY | {"SeriesInstanceUID": "1.5", "FrameOfReferenceUID": "1.9"}))
    masks = np.ones((5, 4, 4), np.uint8)
    write_seg(seg, masks, source, names=("a",), link=True)
    files = [seg, *(path for name in ("image", "other") for path in (tmp_path / name).iterdir())]
    written = pydicom.dcmread(seg)
    del written.ReferencedSeriesSequence
    written.save_as(seg)
    assert {listed.path: listed for listed in dicom.list_volumes(files)}[seg].header.reference == (source,)
    del written.SourceImageSequence
    for frame in written.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence
    written.save_as(seg.with_name("bare.dcm"))
    found = dicom.list_volumes([seg.with_name("bare.dcm"), *files[1:]])
    assert {listed.path.name: listed for listed in found}["bare.dcm"].header.reference == (source,)


def test_an_empty_mask_can_be_written(tmp_path: Path) -> None:
    source = write(tmp_path / "x.dcm", NOISE[0], ImageOrientationPatient=None)
    write_seg(tmp_path / "seg.dcm", np.zeros((5, 4, 1), np.uint8), source, names=("x" * 70,))
    assert not read_volume(tmp_path / "seg.dcm").voxels.any()
    assert read_header(tmp_path / "seg.dcm").names == {1: "x" * 64}


def test_names_that_dicom_cannot_hold_are_spelt(tmp_path: Path) -> None:
    source = write(tmp_path / "a.dcm", NOISE[0], ImagePositionPatient=[0, 0, 0])
    names = ("IDC/ILC", "a\\b", "a\nb", "\x1b[31m", "caf\udce9")
    write_seg(tmp_path / "seg.dcm", np.zeros((5, 4, 1), np.uint8), source, names=names)
    told = read_header(tmp_path / "seg.dcm").names
    assert told == dict(enumerate(("IDC/ILC", "a/b", "a/nb", "/x1b[31m", "caf/udce9"), start=1))


@pytest.mark.parametrize("masks", [np.zeros((4, 5, 4), np.uint8), np.full((5, 4, 4), 2, np.uint8)])
def test_masks_that_do_not_fit(tmp_path: Path, masks: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"seg\.dcm: the mask has the shape") as caught:
        write_seg(tmp_path / "seg.dcm", masks, write_series(tmp_path), names=("liver",))
    assert caught.value.code == "DATA-012" and not (tmp_path / "seg.dcm").exists()


def test_risks_name_tags_and_no_values(tmp_path: Path) -> None:
    tags = {"PatientName": "SECRET^Ann", "PatientID": "", "StudyDate": "20200202", "BurnedInAnnotation": "YES"}
    ds = dataset(NOISE[0], ImagePositionPatient=[0, 0, 0], **tags)
    ds.private_block(0x0009, "SECRET", create=True).add_new(1, "LO", "SECRET")
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    found = dicom.risks(tmp_path / "a.dcm")
    assert found[0] == "patient tags are present (PatientName, StudyDate)" and found[1].startswith("2 private tags")
    assert found[2].startswith("burned-in annotation is declared") and "SECRET" not in "".join(found)
    assert "may be burned into" in dicom.risks(write(tmp_path / "us.dcm", NOISE[0], Modality="US"))[0]
    assert dicom.risks(write(tmp_path / "no.dcm", NOISE[0], Modality="US", BurnedInAnnotation="NO")) == ()
    assert dicom.risks(write(tmp_path / "ct.dcm", NOISE[0])) == ()


def test_frames_count_more_than_a_distance_that_contradicts_them(tmp_path: Path) -> None:
    masks = np.arange(80, dtype=np.uint8).reshape(4, 4, 5) % 2
    seg = segmentation(tmp_path / "seg.dcm", masks, [0, 2, 4, 6])
    ds = pydicom.dcmread(seg)
    ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = 5
    ds.save_as(seg)
    assert np.array_equal(read_volume(seg).planes("axial"), masks) and np.isclose(read_volume(seg).affine[2, 2], 2)
    del ds.PerFrameFunctionalGroupsSequence
    ds.save_as(tmp_path / "bare.dcm")
    refused(tmp_path / "bare.dcm", "DATA-046", "do not say where they lie")


@pytest.mark.parametrize("pattern", ["**/{id}/ct", "**/{id}/ct/*.dcm", "{id}/*/*.dcm"])
def test_patterns_reach_series(tmp_path: Path, pattern: str) -> None:
    for name in ("p1", "p2"):
        write_series(tmp_path / f"{name}/ct", SeriesInstanceUID=f"1.2.{name[1]}")
    found = find_cases(tmp_path, hints=ReadOptions(images=pattern))
    assert {case.volume for case in found.cases} == {"p1", "p2"} and len(found.cases) == 8
    with pytest.raises(DataError, match=r"fits none of 2 files:\n\s+p1/ct\n"):
        find_cases(tmp_path, hints=ReadOptions(images="{id}/mr/*.dcm"))


def test_files_of_a_series_of_which_no_two_have_one_size_are_images(tmp_path: Path) -> None:
    """A part of an image and its mask, as NBIA writes them; an odd slice of a volume stays an error."""
    sizes = {"a.dcm": NOISE[0], "b.dcm": NOISE[1, :3]}
    for name, numbers in sizes.items():
        write(tmp_path / name, np.ascontiguousarray(numbers), ImagePositionPatient=[0, 0, 0])
    assert [one.path.name for one in dicom.list_volumes(list(tmp_path.iterdir()))] == ["a.dcm", "b.dcm"]
    assert read_volume(tmp_path / "b.dcm").voxels.shape == (5, 3, 1)
    write(tmp_path / "c.dcm", NOISE[2], ImagePositionPatient=[0, 0, 2])
    refused(tmp_path / "a.dcm", "DATA-043", "other slices of its series differ")


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("TemporalPositionIdentifier", (1, 2, 10)),
        ("TriggerTime", (0, 40.5, 81)),
        ("EchoNumbers", (1, 2, 3)),
        ("AcquisitionTime", ("095959.5", "100001", "100002.25")),
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_slice_at_several_times_is_a_volume_of_several_values(
    tmp_path: Path, tag: str, said: Sequence[Any], bits: int
) -> None:
    """In whatever order the files are; three of 8 bits are no colours."""
    numbers = NOISE.astype(np.uint8 if bits == 8 else np.uint16)
    as_stored = {"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1}
    for place, time in ((0, 2), (1, 0), (1, 2), (0, 0), (0, 1), (1, 1)):
        tags = {"ImagePositionPatient": [0, 0, 5 * place], tag: said[time], **as_stored}
        write(tmp_path / f"{3 - time}{place}.dcm", numbers[2 * time + place], **tags)
    (listed,) = dicom.list_volumes(list(tmp_path.iterdir()))
    volume = read_volume(listed.path)
    assert volume.voxels.shape == listed.header.shape == (5, 4, 2, 3) and volume.voxels.dtype == listed.header.dtype
    for place, time in ((0, 0), (1, 2)):
        assert np.array_equal(volume.voxels[:, :, place, time].T, numbers[2 * time + place])
    assert any(f"3 times: components by the order of {tag}" in note for note in listed.header.notes)
    with pytest.raises(DataError, match=r"3 components.*each slice is there 3 times") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-063" and "--component" in str(caught.value)
    assert np.array_equal(
        read_image(find_cases(tmp_path, hints=ReadOptions(component=2)).cases[1].image)[..., 0], numbers[5]
    )


def test_copies_and_lost_slices_of_one_time_are_no_volume(tmp_path: Path) -> None:
    for name, height, time in (("a", 0, 1), ("b", 5, 1), ("c", 0, 2), ("d", 5, 2)):
        write(tmp_path / f"{name}.dcm", NOISE[0], ImagePositionPatient=[0, 0, height], TriggerTime=time)
    shutil.copy(tmp_path / "a.dcm", tmp_path / "e.dcm")
    refused(tmp_path / "a.dcm", "DATA-042")
    shutil.copy(tmp_path / "b.dcm", tmp_path / "f.dcm")
    refused(tmp_path / "a.dcm", "DATA-042")
    for name in "aef":
        (tmp_path / f"{name}.dcm").unlink()
    refused(tmp_path / "b.dcm", "DATA-042")
