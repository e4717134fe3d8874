"""One door to each library that reads files: only the formats that we name, only regular files."""

import ast
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import EpsImagePlugin, Image, UnidentifiedImageError
from tests.faults.bad import PIXELS

import sfumato
from sfumato.data.encoding import storage
from sfumato.data.facts import case_facts
from sfumato.data.formats.image import IMAGE_SUFFIXES, read_image
from sfumato.data.formats.picture import FORMATS, open_picture
from sfumato.data.formats.provenance import read_origin
from sfumato.data.manifest import Case
from sfumato.errors import DataError
from sfumato.reporting.reading import picture

SOURCE = Path(sfumato.__file__).parent

DOORS = {
    "PIL.Image.open": "data/formats/picture.py",
    "nibabel.load": None,
    "nibabel.Nifti1Image.from_filename": None,
    "SimpleITK.ReadImage": None,
    "SimpleITK.ImageFileReader": None,
    "tifffile.imread": None,
    "pydicom.dcmread": "data/formats/dicom/file.py",
    "pydicom.read_file": None,
    "matplotlib.image.imread": None,
    "matplotlib.pyplot.imread": None,
    "imageio.imread": None,
    "cv2.imread": None,
    "skimage.io.imread": None,
    "torchvision.io.read_image": None,
    "nrrd.read": None,
    "PIL.Image.init": None,
}
"""Functions that open a file of images, and the only module that may call each."""

FROM_MEMORY = {"tifffile.TiffFile": {"data/formats/tiff_pixels.py", "data/formats/tiff.py"}}
"""The same for those that are given the content."""


def calls(tree: ast.AST) -> Iterator[str]:
    """The full names of what a module calls, as far as its imports tell."""
    names = dict[str, str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                top = each.name.partition(".")[0]
                names[each.asname or top] = each.name if each.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, *rest = ast.unparse(node.func).split(".")
            yield ".".join((names.get(first, first), *rest))


def test_no_other_module_opens_files_of_images() -> None:
    found = {
        (name, path.relative_to(SOURCE).as_posix())
        for path in SOURCE.rglob("*.py")
        for name in calls(ast.parse(path.read_text(encoding="utf-8")))
        if name in DOORS | FROM_MEMORY
    }
    assert found == {(name, door) for name, door in DOORS.items() if door} | {
        (name, door) for name, doors in FROM_MEMORY.items() for door in doors
    }


def test_names_of_imports_are_followed() -> None:
    imports = "from PIL import Image as P\nimport nibabel as nib\nimport SimpleITK\n"
    text = f"{imports}P.open(f)\nnib.load(f)\nSimpleITK.ReadImage(f)"
    assert {*calls(ast.parse(text))} == {"PIL.Image.open", "nibabel.load", "SimpleITK.ReadImage"}


def eps() -> bytes:
    """A picture that Pillow hands to an interpreter of PostScript."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert("RGB").save(buffer, "EPS")
    return buffer.getvalue()


def saved(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert("RGB").save(buffer, form)
    return buffer.getvalue()


FOREIGN = {"EPS": eps(), **{form: saved(form) for form in ("PCX", "TGA", "ICO", "SGI", "DDS", "IM", "JPEG2000")}}


@pytest.fixture
def no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)


@pytest.mark.usefixtures("no_interpreter")
@pytest.mark.parametrize("form", FOREIGN)
def test_files_of_other_formats_are_refused_whatever_they_are_called(form: str, tmp_path: Path) -> None:
    for suffix in (*IMAGE_SUFFIXES, ".tmp"):
        path = tmp_path / f"scan{suffix}"
        path.write_bytes(FOREIGN[form])
        for read in (read_image, lambda name: read_origin(Path(name))):
            with pytest.raises(DataError, match="is not an image") as caught:
                read(str(path))
            assert caught.value.code == "DATA-005"
        assert storage(str(path)) is None
        assert picture(path, "x").light == ""
        (problem,) = case_facts(Case(id="a", image=str(path))).problems
        assert problem.code == "DATA-005"


def test_the_formats_that_are_named_are_read(tmp_path: Path) -> None:
    for form in FORMATS:
        with open_picture(io.BytesIO(saved(form))) as image:
            assert image.format == form and image.size == PIXELS.shape[::-1]
    with pytest.raises(UnidentifiedImageError):
        open_picture(io.BytesIO(FOREIGN["PCX"]))


def test_pillow_loads_no_plugin_that_we_do_not_name() -> None:
    program = (
        "import io, sys; from sfumato.data.formats.picture import open_picture\n"
        "try: open_picture(io.BytesIO(b'%!PS-Adobe-3.0 EPSF-3.0'))\n"
        "except Exception: pass\n"
        "print([name for name in sys.modules if name.startswith('PIL.') and 'Eps' in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
