#!/usr/bin/env bash
# pydicom 3.0.2, colour palettes of 16 bits: in a big-endian file the bytes of every entry are exchanged, without a word.
#
# One would expect: the same image, written once in little and once in big endian as PS3.5 says (the palette's data are
# OW, words of the order of the file), gives the same colours by pydicom.pixels.apply_color_lut.
# What happens: the words of the palette are taken as the machine's own. In the big-endian file 0x12FF becomes 0xFF12.
# Segmented palettes, which the same function unpacks by the order of the file, are right; so is SimpleITK, which has GDCM
# within, and so are pixels, which pydicom turns. The two libraries read one file in different colours.
#
# Why it matters: ultrasound archives of the nineties are Explicit VR Big Endian with palettes. Their colours (flow,
# elastography) come out as others, and of a grey ramp of which only the high byte counts, the low one is seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pydicom==3.0.2 numpy==2.4.6 SimpleITK==2.5.7
cat > "$folder/program.py" <<'PROGRAM'
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK
from pydicom.pixels import apply_color_lut
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid

warnings.simplefilter("ignore")
INDEX = np.arange(256, dtype=np.uint8).reshape(16, 16)
HIGH = [np.arange(256) * factor % 256 for factor in (1, 3, 7)]
RAMPS = [high * 256 + 255 - high for high in HIGH]  # the low byte says something else than the high one


def written(path: Path, syntax: str) -> Path:
    """One image whose palette has the order of bytes of its file."""
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 16, 16, 1, "PALETTE COLOR"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.Modality = 8, 8, 7, 0, "US"
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    for name, ramp in zip(("Red", "Green", "Blue"), RAMPS, strict=True):
        ds.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        ds.add_new(f"{name}PaletteColorLookupTableData", "OW", ramp.astype(order).tobytes())
    ds.add_new("PixelData", "OB", INDEX.tobytes())
    ds.save_as(path, enforce_file_format=True)
    return path


def colours(path: Path) -> np.ndarray:
    ds = pydicom.dcmread(path)
    return apply_color_lut(ds.pixel_array, ds)


folder = Path(sys.argv[1])
little, big = (written(folder / f"{syntax}.dcm", syntax) for syntax in (ExplicitVRLittleEndian, ExplicitVRBigEndian))
expected = np.stack(RAMPS, axis=-1)[INDEX].astype(np.uint16)
seen = {name: colours(path) for name, path in (("little", little), ("big", big))}
right = {name: bool((found == expected).all()) for name, found in seen.items()}
exchanged = bool((seen["big"] == expected.byteswap()).all())
itk = [SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))) for path in (little, big)]
print(f"pydicom {pydicom.__version__}: right in little endian {right['little']}, in big endian {right['big']}")
print(f"index 18 is {[hex(int(value)) for value in expected[1, 2]]}, read as {[hex(int(value)) for value in seen['big'][1, 2]]}")
same = all(bool((found[0] == expected >> 8).all()) for found in itk)
print(f"SimpleITK {SimpleITK.Version.VersionString()}: the high bytes of both files right {same}, {itk[0].shape} {itk[0].dtype}")
sys.exit(0 if right["little"] and exchanged and same else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py" "$folder"
