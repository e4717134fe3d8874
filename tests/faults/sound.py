"""Sound sources of every form, small, made by the code itself: what is damaged by mutation in the fuzz test."""

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import nibabel
import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from sfumato.data.formats.dicom.drawn import write_seg
from sfumato.data.formats.image import encode_png
from sfumato.data.formats.png import SIGNATURE

from .bad import OBJECT, PIXELS, encoded, tiff
from .bad_volumes import DATA, LABELS, MHA_HEAD, NRRD_HEAD, VOXELS, dicom, nifti

COLOURS = np.stack([PIXELS, np.flipud(PIXELS), np.fliplr(PIXELS)], axis=-1)
DEEP = PIXELS.astype(np.uint16) * 257
STACK = np.stack([PIXELS, np.flipud(PIXELS), OBJECT])


def unchanged(content: bytes) -> bytes:
    return content


class Sound(NamedTuple):
    """A sound source, one file of which is to be damaged.

    Attributes:
        name: what it is.
        files: content by path.
        target: the path of the file to damage.
        checked: whether check sums cover its pixels: a damaged file is refused or gives the same pixels.
        wrap: what makes the file of the damaged content; puts check sums right, so that what lies behind is reached.
        source: the path that is given as the source; their folder where empty.
    """

    name: str
    files: Mapping[str, bytes]
    target: str
    checked: bool = False
    wrap: Callable[[bytes], bytes] = unchanged
    source: str = ""


def alone(name: str, path: str, content: bytes, *, checked: bool = False) -> Sound:
    return Sound(name, {path: content}, path, checked)


def mended(content: bytes) -> bytes:
    """A PNG file with the check sums that its chunks ought to have."""
    parts, start = [content[:8]], 8
    while start + 12 <= len(content):
        end = min(start + 12 + int.from_bytes(content[start : start + 4]), len(content))
        parts += [content[start : end - 4], struct.pack(">I", zlib.crc32(content[start + 4 : end - 4]))]
        start = end
    return b"".join(parts)


def png_within(name: str, pixels: np.ndarray) -> Sound:
    content = encode_png(pixels)
    assert content.startswith(SIGNATURE)
    return Sound(name, {"a.png": content}, "a.png", wrap=mended)


def pictures() -> list[Sound]:
    grey, colours = Image.fromarray(PIXELS), Image.fromarray(COLOURS)
    palette = colours.quantize(16)
    return [
        alone("PNG 8 bit", "a.png", encode_png(PIXELS), checked=True),
        alone("PNG 16 bit", "a.png", encode_png(DEEP), checked=True),
        alone("PNG 16 bit RGB", "a.png", encode_png(np.stack([DEEP] * 3, axis=-1)), checked=True),
        alone("PNG palette", "a.png", saved(palette, "PNG"), checked=True),
        alone("PNG transparent", "a.png", saved(colours.convert("RGBA"), "PNG"), checked=True),
        alone("PNG interlaced", "a.png", interlaced(), checked=True),
        png_within("PNG with right sums", PIXELS),
        png_within("PNG 16 bit RGB with right sums", np.stack([DEEP] * 3, axis=-1)),
        alone("JPEG", "a.jpg", saved(colours, "JPEG", quality=90)),
        alone("JPEG progressive", "a.jpg", saved(grey, "JPEG", progressive=True)),
        alone("TIFF", "a.tif", tiff(PIXELS)),
        alone("TIFF LZW", "a.tif", saved(colours, "TIFF", compression="tiff_lzw")),
        alone("TIFF deflated", "a.tif", tiff(DEEP, compression="zlib", predictor=True)),
        alone("TIFF tiled", "a.tif", tiff(DEEP, tile=(16, 16))),
        alone("BigTIFF", "a.tif", tiff(PIXELS, bigtiff=True)),
        alone("TIFF of three grey samples", "a.tif", tiff(COLOURS, photometric="minisblack", planarconfig="contig")),
        alone("TIFF palette", "a.tif", saved(palette, "TIFF")),
        alone("TIFF float", "a.tif", tiff(PIXELS / np.float32(7))),
        alone("GIF", "a.gif", saved(palette, "GIF")),
        alone("BMP", "a.bmp", saved(colours, "BMP")),
        alone("BMP palette", "a.bmp", saved(palette, "BMP")),
        alone("WebP", "a.webp", saved(colours, "WEBP", lossless=True)),
        alone("PGM", "a.pgm", saved(grey, "PPM")),
        alone("PPM", "a.ppm", saved(colours, "PPM")),
        alone("PGM as text", "a.pgm", b"P2 3 2 255\n0 1 2\n253 254 255\n"),
        alone("PGM packed", "a.pgm.gz", gzip.compress(saved(grey, "PPM")), checked=True),
        Sound("masks", {"images/a.png": encode_png(PIXELS), "masks/a.png": encode_png(OBJECT)}, "masks/a.png", True),
    ]


def saved(image: Image.Image, form: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **settings)
    return buffer.getvalue()


def interlaced() -> bytes:
    """A grey PNG in the seven passes of Adam7, rows not filtered."""
    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    passes = [PIXELS[y::down, x::across] for y, x, down, across in starts]
    rows = b"".join(b"\0" + row.tobytes() for part in passes if part.shape[1] for row in part)
    head = struct.pack(">IIBBBBB", PIXELS.shape[1], PIXELS.shape[0], 8, 0, 0, 0, 1)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return mended(SIGNATURE + b"".join(struct.pack(">I", len(body)) + kind + body + bytes(4) for kind, body in chunks))


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def arrays() -> list[Sound]:
    labels = np.arange(3)
    images = {"x-images-idx3-ubyte": idx(STACK), "x-labels-idx1-ubyte": idx(labels.astype(np.uint8))}
    packed_images = {f"{name}.gz": packed(content) for name, content in images.items()}
    within = npy(STACK)
    return [
        alone("npy", "images.npy", npy(STACK)),
        alone("npy of floats", "a.npy", npy(PIXELS / 7)),
        alone("npz", "a.npz", npz(images=STACK, labels=labels, masks=STACK // 100), checked=True),
        Sound("npz with right sums", {"a.npz": within}, "a.npz", wrap=lambda raw: zipped({"images.npy": raw})),
        Sound("IDX", images, "x-images-idx3-ubyte"),
        Sound("IDX labels", images, "x-labels-idx1-ubyte"),
        Sound("IDX.gz", packed_images, "x-images-idx3-ubyte.gz", checked=True),
        Sound("IDX.gz with right sums", {"x-images-idx3-ubyte.gz": idx(STACK)}, "x-images-idx3-ubyte.gz", wrap=packed),
    ]


def tables() -> list[Sound]:
    pictures = {f"{name}.png": encode_png(plane) for name, plane in zip("abc", STACK, strict=True)}
    table = b"image,label,patient,split\na.png,x,1,train\nb.png,y,2,test\nc.png,x,3,val\n"
    manifest = b"id,image,mask,label,patient,split\na,a.png,b.png,x,1,train\nb,b.png,c.png,y,2,test\n"
    bundle = {"labels": [["a.png", 0], ["b.png", 1], ["c.png", 0]], "class_names": ["no", "yes"],
              "file_names": {"a.png": "ISIC_1.png"}}  # fmt: skip
    edm = {**pictures, "dataset.json": json.dumps(bundle).encode()}
    nnunet = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1, "whole": [1, 2], "ignore": 3},
              "numTraining": 1, "file_ending": ".nii.gz"}  # fmt: skip
    raw = {
        "imagesTr/a_0000.nii.gz": packed(nifti()),
        "labelsTr/a.nii.gz": packed(nifti(LABELS)),
        "dataset.json": json.dumps(nnunet).encode(),
    }
    return [
        Sound("CSV", {**pictures, "t.csv": table}, "t.csv"),
        Sound("manifest.csv", {**pictures, "manifest.csv": manifest}, "manifest.csv"),
        Sound("dataset.json of EDM", edm, "dataset.json"),
        Sound("dataset.json of nnU-Net", raw, "dataset.json"),
        Sound("zip", {"a.zip": zipped(edm)}, "a.zip", checked=True, source="a.zip"),
    ]


def volumes() -> list[Sound]:
    gzipped = NRRD_HEAD.replace(b"raw", b"gzip") + b"\n"
    deflated = MHA_HEAD + b"CompressedData = True\nElementDataFile = LOCAL\n" + zlib.compress(DATA)
    return [
        alone("NIfTI", "a.nii", nifti()),
        alone("NIfTI of floats", "a.nii", nifti(VOXELS / np.float32(7))),
        alone("NIfTI.gz", "a.nii.gz", packed(nifti()), checked=True),
        Sound("NIfTI.gz with right sums", {"a.nii.gz": nifti()}, "a.nii.gz", wrap=packed),
        alone("NIfTI 2", "a.nii", nibabel.Nifti2Image(VOXELS, np.eye(4)).to_bytes()),
        alone("NRRD", "a.nrrd", NRRD_HEAD + b"\n" + DATA),
        alone("NRRD gzip", "a.nrrd", gzipped + packed(DATA)),
        alone("MHA", "a.mha", MHA_HEAD + b"ElementDataFile = LOCAL\n" + DATA),
        alone("MHA deflated", "a.mha", deflated),
    ]


def as_file(dataset: pydicom.Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def compressed_dicom(syntax: str) -> bytes:
    made = dicom(0)
    if syntax == RLELossless:
        made.compress(syntax, generate_instance_uid=False)
    elif syntax == JPEGBaseline8Bit:
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
        made.PixelData = encapsulate([encoded(PIXELS[:9, :10], "JPEG")])
        made["PixelData"].VR = "OB"
    made.file_meta.TransferSyntaxUID = syntax
    return as_file(made)


def segmentation(series: Mapping[str, bytes]) -> bytes:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for path, content in series.items():
            (folder / path).write_bytes(content)
        write_seg(folder / "seg.dcm", LABELS[..., :4], folder / min(series), names=["organ"])
        return (folder / "seg.dcm").read_bytes()


def dicoms() -> list[Sound]:
    series = {f"{number}.dcm": as_file(dicom(number)) for number in range(4)}
    frames = dicom(0, NumberOfFrames=8, PixelData=np.ascontiguousarray(VOXELS.T).tobytes())
    drawn = {**series, "seg.dcm": segmentation(series)}
    return [
        Sound("DICOM", series, "1.dcm"),
        alone("DICOM RLE", "a.dcm", compressed_dicom(RLELossless)),
        alone("DICOM JPEG", "a.dcm", compressed_dicom(JPEGBaseline8Bit)),
        alone("DICOM deflated", "a.dcm", compressed_dicom(DeflatedExplicitVRLittleEndian)),
        alone("DICOM of many frames", "a.dcm", as_file(frames)),
        Sound("DICOM segmentation", drawn, "seg.dcm"),
    ]


SOUND = (*pictures(), *arrays(), *tables(), *volumes(), *dicoms())
