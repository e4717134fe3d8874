"""What files say of the model that made them, and that nothing else is read back."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sfumato.commands.info import info
from sfumato.data.formats.image import read_image, write_image
from sfumato.data.formats.nifti import read_intent, write_volume
from sfumato.data.formats.origin import DESCRIP, Origin, OriginKind
from sfumato.data.formats.provenance import read_origin

MODEL = "0123456789abcdef" * 4
PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8)


def origin(kind: OriginKind) -> Origin:
    return Origin(kind=kind, model=MODEL, recipe="generate: edm, unet; sha256 ab", facts={"Seed": "7", "Class": "a"})


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("synthetic", "trainedAlgorithmicMedia"),
        ("derived", "compositeWithTrainedAlgorithmicMedia"),
        ("predicted", None),
    ],
)
def test_a_png_says_what_it_is(tmp_path: Path, kind: OriginKind, code: str | None) -> None:
    write_image(tmp_path / "a.png", PIXELS, text=origin(kind).texts())
    said = read_origin(tmp_path / "a.png")
    assert said["Model"] == MODEL and said["Seed"] == "7" and said.get("Digital source type") == code
    assert (
        said.get("Synthetic") == (None if kind == "predicted" else "true") and "Not for diagnosis" in said["Disclaimer"]
    )
    assert (read_image(str(tmp_path / "a.png"))[..., 0] == PIXELS).all()
    with Image.open(tmp_path / "a.png") as image:
        assert (b"DigitalSourceType" in image.text.get("XML:com.adobe.xmp", "").encode()) == (code is not None)  # type: ignore[attr-defined]


def test_sixteen_bits_in_colour_say_it_too(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((4, 5, 3), np.uint16), text=origin("synthetic").texts())
    assert read_origin(tmp_path / "a.png")["Digital source type"] == "trainedAlgorithmicMedia"


@pytest.mark.parametrize("kind", ["synthetic", "derived", "predicted"])
def test_a_volume_says_what_it_is(tmp_path: Path, kind: OriginKind) -> None:
    voxels = np.ones((3, 4, 5), np.uint8)
    write_volume(tmp_path / "a.nii.gz", voxels, np.eye(4), label=True, origin=origin(kind))
    said = read_origin(tmp_path / "a.nii.gz")
    assert said["Description"].startswith("AI") and MODEL[:16] in said["descrip"]
    assert len(origin(kind).descrip()) <= DESCRIP
    header = nibabel.load(tmp_path / "a.nii.gz").header
    assert header["intent_code"] == 1002 and header.extensions == []
    assert (np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj) == voxels).all()


def test_what_others_wrote_is_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("PatientName", "Doe^Jane")
    text.add_text("Description", "Jane Doe, born 1960")
    Image.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=text)
    volume = nibabel.Nifti1Image(PIXELS[..., None], np.eye(4))
    volume.header["descrip"], volume.header["intent_name"] = "Jane Doe", "AI prediction"
    nibabel.save(volume, tmp_path / "a.nii")
    for name in ("a.png", "a.nii"):
        assert info(tmp_path / name)["says"] == {}
    said = capsys.readouterr().err
    assert "Jane" not in said and said.count("says that it is synthetic; that does not mean that it is not") == 2
    assert read_intent(tmp_path / "a.nii") == ("AI prediction", "Jane Doe")


def test_the_mark_of_another_program_is_seen(tmp_path: Path) -> None:
    mark = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", f"<x>{mark}</x>")
    Image.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=text)
    assert read_origin(tmp_path / "a.png") == {"Digital source type": "trainedAlgorithmicMedia"}


def test_a_segmentation_names_its_model(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    from sfumato.data.formats.dicom.drawn import write_seg

    write_volume(tmp_path / "scan.nii", np.zeros((3, 4, 5), np.int16), np.eye(4))
    for name, made in (("plain.dcm", None), ("model.dcm", origin("predicted"))):
        write_seg(tmp_path / name, np.ones((3, 4, 5), np.uint8), tmp_path / "scan.nii", names=("liver",), origin=made)
    said = read_origin(tmp_path / "model.dcm")
    assert said["Model"] == MODEL and said["Algorithm"] == "AUTOMATIC" and said["Seed"] == "7"
    assert said["Series"] == "AI prediction (sfumato)" and said["Recipe"] == "generate: edm; unet; sha256 ab"
    assert "Model" not in read_origin(tmp_path / "plain.dcm")
