"""Masks and images of forms that are not read: refused in words, where they would be passed over.

    masks/a.mat, labels/a.h5          beside images without masks: MATLAB, HDF5, or whatever a folder of masks holds
    labels/a.txt                      polygons of YOLO; its boxes are no masks, which a note says
    images/a.jp2 and masks/a.png      the masks would be taken for the images

Who has them would train without what was drawn, or on it. A file is one of an image if it has its name.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from sfumato.data.formats.locator import Locator
from sfumato.data.source.listing import SourceFile, divided, is_picture_file
from sfumato.data.source.matching.byhand import is_called_a_mask
from sfumato.data.source.words import composed, shared_stem
from sfumato.errors import DataError, listed
from sfumato.files import open_file
from sfumato.shortage import raise_shortage
from sfumato.wording import counted

MATLAB, HDF5 = (".mat",), (".h5", ".hdf5", ".hdf")
TEXTS = (
    ".txt",
    ".csv",
    ".tsv",
    ".json",
    ".geojson",
    ".xml",
    ".yaml",
    ".yml",
    ".md",
    ".html",
    ".pdf",
    ".py",
    ".zip",
    ".svg",
    ".roi",
)
"""What may have the name of an image, and is no picture of it."""

_LOOKED_AT = 8
"""Texts that are looked at."""

_BEGINNING = 2**16
"""Bytes of a text that are looked at."""

_SHOWN = 8
"""Variables that are named."""

_NUMBER = rb"(?:0|1|0?\.\d+|[01]\.\d*)(?:[eE]-?\d+)?"
POLYGON = re.compile(rb"^\d+(?:[ \t]+%b){6,}[ \t]*$" % _NUMBER)
BOX = re.compile(rb"^\d+(?:[ \t]+%b){4,5}[ \t]*$" % _NUMBER)
"""Lines of YOLO: a class, and corners or a box as shares of the image."""


def refuse_lone_masks(files: Sequence[SourceFile], others: Sequence[SourceFile]) -> None:
    """Refuse pictures of masks whose images are of a form that is not read.

    Args:
        files: the pictures.
        others: all other files.

    Raises:
        DataError: there are such images.
    """
    if not others or not all(map(is_called_a_mask, files)):
        return
    images = [entry for entry in _beside(files, others) if not is_called_a_mask(entry)]
    if 2 * len(images) <= len(files):
        return
    raise DataError(
        f"masks alone: what has the names of their images is of a form that is not read: {_endings(images)}:\n"
        f"{listed([entry.where for entry in images])}",
        expected="images as PNG, TIFF, JPEG, volumes or arrays beside the masks",
        remedy="write the images as PNG or TIFF of the same names; to read the masks as images, give their folder",
        code="DATA-002",
    )


def refuse_unread(images: Sequence[SourceFile], others: Sequence[SourceFile], cases: int) -> None:
    """Refuse masks that are not read beside images without any.

    Args:
        images: the files of the images, perhaps with others that are not used.
        others: all other files.
        cases: how many images there are.

    Raises:
        DataError: there are some.
    """
    beside = _beside(images, others)
    masks = [entry for entry in beside if entry.name.lower().endswith((*MATLAB, *HDF5)) or is_called_a_mask(entry)]
    if 2 * len(masks) <= min(cases, len(images)):
        return
    inside = told_inside(masks[0])
    raise DataError(
        f"no mask is read, but most images have a file of their name that may be one: {_endings(masks)}"
        f"{f' ({inside})' if inside else ''}:\n{listed([entry.where for entry in masks])}",
        expected="masks as pictures, label volumes or arrays (NPY, NPZ)",
        remedy=f"write what is drawn into a PNG or NPY of the same name{_way(masks[0])}; or move these files elsewhere "
        "to go on without masks",
        code="DATA-069",
    )


def without_yolo(images: Sequence[SourceFile], others: Sequence[SourceFile]) -> tuple[list[SourceFile], list[str]]:
    """The other files without boxes of YOLO, and a note about these.

    Raises:
        DataError: most images have polygons of YOLO.
    """
    texts = [entry for entry in _named_alike(images, others) if entry.name.lower().endswith(".txt")]
    if 2 * len(texts) <= len(images):
        return list(others), []
    looked = [lines for entry in texts[:: -(-len(texts) // _LOOKED_AT)] if (lines := _lines(entry))]
    if looked and all(POLYGON.match(line) for lines in looked for line in lines):
        raise DataError(
            f"contours found, not read: {counted(len(texts), 'file')} of YOLO polygons, and no mask:\n"
            f"{listed([entry.where for entry in texts])}",
            expected="masks as pictures beside the images, or outlines of COCO or LabelMe",
            remedy="export them as COCO or as masks with the tool that drew them; or move these files elsewhere to go "
            "on without masks",
            code="DATA-069",
        )
    if looked and all(BOX.match(line) for lines in looked for line in lines):
        boxes = set(texts)
        note = f"boxes are no masks, and are not used: {counted(len(texts), 'file')} of YOLO"
        return [entry for entry in others if entry not in boxes], [note]
    return list(others), []


def told_inside(entry: SourceFile) -> str:
    """What a file of MATLAB says that it holds; empty for other files, and where it cannot be known."""
    target = Locator.parse(entry.locator)
    if target.member or not entry.name.lower().endswith(MATLAB):
        return ""
    from scipy.io import whosmat

    try:
        with open_file(target.path) as file:
            found = whosmat(file)  # type: ignore[arg-type]  # its stubs know paths alone
    except NotImplementedError:
        return f"{entry.name} is of MATLAB 7.3, which is HDF5"
    except Exception as error:  # whatever is raised on damaged files: they are not read anyway
        raise_shortage(error, reading=target.path)
        return ""
    named = [f"{name} {' x '.join(map(str, shape))}" for name, shape, _ in found]
    return f"{entry.name} holds {', '.join(named[:_SHOWN])}{' ...' if len(named) > _SHOWN else ''}"


def _way(entry: SourceFile) -> str:
    """How a file is opened in Python."""
    if entry.name.lower().endswith(HDF5) or told_inside(entry).endswith("HDF5"):
        return ", as h5py.File(file)[name][()] gives it (MATLAB swaps the axes: .T)"
    return ", as scipy.io.loadmat(file)[name] gives it" if entry.name.lower().endswith(MATLAB) else ""


def _beside(files: Sequence[SourceFile], others: Sequence[SourceFile]) -> list[SourceFile]:
    """Other files that are no texts and are called like some."""
    return [entry for entry in _named_alike(files, others) if not entry.name.lower().endswith(TEXTS)]


def _named_alike(files: Sequence[SourceFile], others: Sequence[SourceFile]) -> Iterator[SourceFile]:
    stems = {shared_stem(composed(entry.stem)) for entry in files}
    apart, _ = divided(others, lambda entry: not is_picture_file(entry))
    return (entry for entry in apart if shared_stem(composed(entry.stem)) in stems)


def _endings(entries: Sequence[SourceFile]) -> str:
    endings = Counter("".join(PurePath(entry.name).suffixes[-1:]).lower() for entry in entries)
    return ", ".join(f"{count} {ending}" for ending, count in endings.most_common())


def _lines(entry: SourceFile) -> list[bytes]:
    """The first whole lines of a text that hold something."""
    target = Locator.parse(entry.locator)
    if target.member:
        return []
    try:
        with open_file(target.path) as file:
            content = file.read(_BEGINNING)
    except OSError as error:
        raise_shortage(error, reading=target.path)
        return []
    lines = content.splitlines()
    whole = lines[:-1] if len(content) == _BEGINNING else lines
    return [line.strip() for line in whole if line.strip()]
