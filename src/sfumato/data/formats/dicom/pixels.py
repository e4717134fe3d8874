"""The pixels of a DICOM file: decoded whole or refused, and turned into values.

Stored numbers become values in this order: unused bits are masked; palette and YBR colours become RGB; MONOCHROME1 is
inverted; the rescale slope or table is applied. Pixels outside of the image (PixelPaddingValue) get the smallest value
within it, since a value such as -2000 would mean something to no network.
"""

import math
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Shaped

from sfumato.data.formats.content import damaged
from sfumato.data.formats.dicom.facts import ENCODING_TAGS, DicomFacts, Encoding, is_quantity
from sfumato.data.formats.dicom.file import DicomDataset, guarded, library, read_dataset
from sfumato.data.formats.dicom.frames import Frame
from sfumato.data.formats.dicom.gdcm import SYNTAXES, decode_frame
from sfumato.data.formats.jpeg import check_jpeg
from sfumato.errors import DataError

FramePixels = Shaped[np.ndarray, "h w *c"]
_Stack = Shaped[np.ndarray, "slices h w *c"]

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
COLOUR_TAGS = tuple(
    f"{kind}PaletteColorLookupTable{part}" for kind in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
) + tuple(f"Segmented{kind}PaletteColorLookupTableData" for kind in ("Red", "Green", "Blue"))
_TAGS = (
    *ENCODING_TAGS,
    *_PIXELS,
    *COLOUR_TAGS,
    "PlanarConfiguration",
    "SOPClassUID",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)

JPEG = "1.2.840.10008.1.2.4."
"""Transfer syntaxes of the JPEG family: every frame ends with the bytes FF D9 (EOI or EOC)."""

FILLED_UP = (f"{JPEG}50", f"{JPEG}51")
"""Those whose decoder fills up what is missing without a word: JPEG baseline and extended."""

BIG_ENDIAN = "1.2.840.10008.1.2.2"
"""The transfer syntax of numbers whose highest byte comes first."""

VIDEO = tuple(f"{JPEG}1{number:02}" for number in range(10))


def stored_frames(facts: DicomFacts) -> Iterator[FramePixels]:
    """The stored numbers of each frame, in the order of the file; colours as RGB.

    Raises:
        DataError: the file is cut short or damaged, or there is no decoder for it.
    """
    encoding = image_encoding(facts)
    palette = encoding.photometric == "PALETTE COLOR"
    dataset = read_dataset(facts.path, _TAGS, pixels=True)
    with guarded(facts.path, "its pixels cannot be decoded"):
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = encoding.syntax
        _refuse_undecodable(facts, encoding)
        if encoding.syntax == BIG_ENDIAN:
            _turn_palette(dataset)
        _refuse_cut(facts, encoding, dataset)
        frames = _frames(encoding, dataset)
    shape = (encoding.rows, encoding.columns, *((3,) if encoding.samples == 3 or palette else ()))
    for number in range(1, encoding.frame_count + 1):
        with guarded(facts.path, f"frame {number} cannot be decoded"):
            frame = next(frames)
            if palette:
                frame = _eight_bits(library("pydicom.pixels").apply_color_lut(frame, dataset))
        if frame.shape != shape:
            raise damaged(facts.path, f"frame {number} has the shape {frame.shape} and should have {shape}")
        yield frame


def _turn_palette(dataset: DicomDataset) -> None:
    """Give the tables of a palette the byte order that pydicom takes them to have, which is never that of the file."""
    for keyword in COLOUR_TAGS:
        if keyword.endswith("Data") and keyword in dataset and not keyword.startswith("Segmented"):
            entries, _, bits = (int(number) for number in dataset[keyword.replace("Data", "Descriptor")].value)
            content = dataset[keyword].value
            if bits == 16 and len(content) >= 2 * (entries or 2**16):
                dataset[keyword].value = np.frombuffer(content, ">u2").astype("<u2").tobytes()


def _frames(encoding: Encoding, dataset: DicomDataset) -> Iterator[FramePixels]:
    """The decoded frames of a file, one when it is asked for."""
    if not _needs_gdcm(encoding):
        yield from library("pydicom.pixels").iter_pixels(dataset)
        return
    for frame in library("pydicom.encaps").generate_frames(dataset.PixelData, number_of_frames=encoding.frame_count):
        yield decode_frame(frame, encoding)


def _needs_gdcm(encoding: Encoding) -> bool:
    """Whether pydicom and its plugins do not decode what SimpleITK does."""
    if encoding.syntax not in SYNTAXES or find_spec("SimpleITK") is None:
        return False
    decoder = library("pydicom.pixels").get_decoder(encoding.syntax)
    return not decoder.is_available or _is_deep(encoding, decoder)


def _is_deep(encoding: Encoding, decoder: Any) -> bool:
    """Whether there are more bits than the only decoder reads."""
    deep = encoding.syntax == f"{JPEG}51" and encoding.allocated > 8
    return deep and bool(decoder.available_plugins == ("pillow",))


def image_encoding(facts: DicomFacts) -> Encoding:
    """How the pixels of a file are stored.

    Raises:
        DataError: it has none.
    """
    if facts.encoding is None:
        raise DataError(
            f"{facts.path} holds no image: it is {facts.sop}",
            expected="an image or a segmentation",
            remedy="give the image files of the study; contours (RTSTRUCT) are read as masks of these: give both",
            code="DATA-040",
        )
    return facts.encoding


def _eight_bits(frame: FramePixels) -> FramePixels:
    return (frame[..., :3] >> 8).astype(np.uint8) if frame.dtype == np.uint16 else frame[..., :3]


def _refuse_undecodable(facts: DicomFacts, encoding: Encoding) -> None:
    name = library("pydicom.uid").UID(encoding.syntax).name
    try:
        decoder = library("pydicom.pixels").get_decoder(encoding.syntax)
    except NotImplementedError:
        decoder = None
    if decoder is not None and _needs_gdcm(encoding):
        return
    if decoder is None or not decoder.is_available or _is_deep(encoding, decoder):
        raise DataError(
            f"{facts.path} is compressed as {name}, for which no decoder is installed",
            expected="a syntax that pydicom and its plugins decode",
            remedy="pip install 'sfumato[dicom]', or decompress the files with dcmdjpeg or gdcmconv --raw",
            code="DATA-044",
        )


def _refuse_cut(facts: DicomFacts, encoding: Encoding, dataset: DicomDataset) -> None:
    """Compare the pixels' length with what the size announces; look for the end mark of every compressed frame."""
    keyword = next((name for name in _PIXELS if dataset.get(name)), None)
    if keyword is None:
        raise damaged(facts.path, "it ends before its pixels")
    content = dataset[keyword].value
    if library("pydicom.uid").UID(encoding.syntax).is_encapsulated:
        _refuse_cut_frames(facts, encoding, content)
        return
    subsampled = encoding.photometric == "YBR_FULL_422"
    samples = 2 if subsampled else encoding.samples
    bits = encoding.rows * encoding.columns * encoding.frame_count * samples * encoding.allocated
    if len(content) < math.ceil(bits / 8):
        raise damaged(facts.path, f"it has {len(content):,} of {math.ceil(bits / 8):,} bytes of pixels")


def _refuse_cut_frames(facts: DicomFacts, encoding: Encoding, content: bytes) -> None:
    frames = list(library("pydicom.encaps").generate_frames(content, number_of_frames=encoding.frame_count))
    if len(frames) < encoding.frame_count:
        raise damaged(facts.path, f"it has {len(frames)} of {encoding.frame_count} frames")
    if encoding.syntax.startswith(JPEG) and encoding.syntax not in VIDEO:
        cut = [str(number) for number, frame in enumerate(frames, start=1) if not _ends(frame)]
        if cut:
            raise damaged(facts.path, f"the end mark is missing, so frames were cut: {', '.join(cut[:20])}")
    if encoding.syntax in FILLED_UP and encoding.allocated == 8:
        for number, frame in enumerate(frames, start=1):
            try:
                check_jpeg(frame, "L" if encoding.samples == 1 else "RGB")
            except ValueError as error:
                raise damaged(facts.path, f"frame {number}: {error}") from error


def _ends(frame: bytes) -> bool:
    return frame.rstrip(b"\0\xff").endswith(b"\xff\xd9")  # writers fill up with either byte


def stored_range(encoding: Encoding) -> tuple[int, int]:
    """Lowest and highest number that can be stored."""
    if encoding.signed:
        return -(2 ** (encoding.stored - 1)), 2 ** (encoding.stored - 1) - 1
    return 0, 2**encoding.stored - 1


def value_type(facts: DicomFacts) -> np.dtype:
    """The type of the values, as `formats.rescale` chooses it: as stored without rescaling, else int16 or int32.

    Values that turn out not to fit int16 become int32; numbers that are not whole are float32.
    """
    encoding = image_encoding(facts)
    if encoding.photometric == "PALETTE COLOR":
        return np.dtype(np.uint8)
    whole = all(frame.slope.is_integer() and frame.intercept.is_integer() for frame in facts.frames)
    if encoding.table or not encoding.stored or not whole:
        return np.dtype(np.float32)
    if encoding.stored > 16:
        return np.dtype(np.int32)
    if encoding.signed or any(is_quantity(encoding, frame) for frame in facts.frames):
        return np.dtype(np.int16)
    return np.dtype(np.uint8 if encoding.stored <= 8 else np.uint16)


def inverts(encoding: Encoding, frame: Frame) -> bool:
    """Whether the stored numbers are inverted: MONOCHROME1 without physical values."""
    return encoding.photometric == "MONOCHROME1" and bool(encoding.stored) and not is_quantity(encoding, frame)


def read_values(files: list[DicomFacts], *, dtype: np.dtype) -> _Stack:
    """The values of all frames of some files of one size, in the order of the files.

    Args:
        files: the slices of a series, or one file with any number of frames.
        dtype: type of the result; int32, or else float32, takes its place where it does not hold a value.

    Raises:
        DataError: as for `stored_frames`.
    """
    stack: Any = None
    outside: dict[int, np.ndarray] = {}
    place = 0
    total = sum(image_encoding(facts).frame_count for facts in files)
    for facts in files:
        encoding = image_encoding(facts)
        for number, stored in enumerate(stored_frames(facts)):
            frame = facts.frames[number if len(facts.frames) > 1 else 0]
            values = _values(stored, facts, frame)
            if stack is None:
                stack = np.empty((total, *values.shape), dtype)
            if not _fits(values, stack.dtype):
                stack = stack.astype(np.int32 if _fits(values, np.dtype(np.int32)) else np.float32)
            if encoding.padding is not None:
                outside[place] = (stored >= encoding.padding[0]) & (stored <= encoding.padding[1])
            stack[place] = values
            place += 1
    return _without_padding(stack, outside)


def _fits(values: np.ndarray, dtype: np.dtype) -> bool:
    if dtype.kind == "f" or values.dtype == dtype:
        return True
    return bool(np.iinfo(dtype).min <= values.min() and values.max() <= np.iinfo(dtype).max)


def _values(stored: FramePixels, facts: DicomFacts, frame: Frame) -> FramePixels:
    encoding = image_encoding(facts)
    if encoding.table:
        dataset = read_dataset(facts.path, ("ModalityLUTSequence",))
        with guarded(facts.path, "its table of values cannot be applied"):
            return np.asarray(library("pydicom.pixels").apply_modality_lut(stored, dataset), np.float32)
    if inverts(encoding, frame):
        return np.asarray(sum(stored_range(encoding)) - stored.astype(np.int64))
    if (frame.slope, frame.intercept) == (1, 0):
        return stored
    if frame.slope.is_integer() and frame.intercept.is_integer() and encoding.stored:
        return stored.astype(np.int64) * int(frame.slope) + int(frame.intercept)
    return (stored * frame.slope + frame.intercept).astype(np.float32)


def _without_padding(stack: _Stack, outside: dict[int, np.ndarray]) -> _Stack:
    inner = [stack[place][~mask].min() for place, mask in outside.items() if not mask.all()]
    for place, mask in outside.items():
        if inner:
            stack[place][mask] = min(inner)
    return stack
