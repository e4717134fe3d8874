#!/usr/bin/env bash
# rt-utils 1.2.7 (RTSTRUCT from masks): its contours run through the centres of the outermost pixels.
#
# One would expect: a contour around the pixels of a mask, so that it encloses their area, in any program.
# What happens: it encloses half a pixel less on all sides. rt-utils itself reads back the same mask, since it paints the
# pixels that a contour touches; who measures the area, or fills what lies inside, finds 8 of 13 square millimetres for a
# disc of radius 2 mm at 1 mm a pixel, and nothing for a vessel of one pixel. A hole comes out too large in the same way.
#
# Why it matters: masks of networks are sent to planning systems as RTSTRUCT by this library. Small lesions lose a third
# of their area on the way and thin ones all of it, while a test that reads the file back with the library sees nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rt-utils==1.2.7 pydicom==3.0.2 numpy==2.2.6 \
    opencv-python-headless==4.12.0.88
"$folder/venv/bin/pip" uninstall --quiet --yes opencv-python  # the other build needs libraries of a screen
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps \
    opencv-python-headless==4.12.0.88
cat > "$folder/program.py" <<'PROGRAM'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rt_utils import RTStructBuilder

SIDE = 64
folder = Path(sys.argv[1]) / "series"
folder.mkdir()
series, study, space = (generate_uid() for _ in range(3))
for number in range(3):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID = series, study, space
    ds.Modality, ds.PatientID, ds.PatientName, ds.SeriesNumber, ds.InstanceNumber = "CT", "1", "A", 1, number + 1
    ds.PatientBirthDate = ds.PatientSex = ds.StudyDate = ds.StudyTime = ds.StudyID = ds.AccessionNumber = ""
    ds.Rows = ds.Columns = SIDE
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelSpacing, ds.SliceThickness = 15, [1, 1], 1
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, number]
    ds.PixelData = np.zeros((SIDE, SIDE), np.uint16).tobytes()
    ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)

rows, columns = np.mgrid[:SIDE, :SIDE]
masks = {f"disc of radius {radius}": (rows - 30) ** 2 + (columns - 30) ** 2 <= radius**2 for radius in (2, 5, 20)}
masks["line of one pixel"] = (rows == 10) & (columns >= 10) & (columns < 40)
masks = {name: np.stack([0 * plane, plane, 0 * plane], axis=2).astype(bool) for name, plane in masks.items()}
structures = RTStructBuilder.create_new(dicom_series_path=str(folder))
for name, mask in masks.items():
    structures.add_roi(mask=mask, name=name)
path = Path(sys.argv[1]) / "structures.dcm"
structures.save(str(path))

stored = pydicom.dcmread(path)
names = {item.ROINumber: item.ROIName for item in stored.StructureSetROISequence}
back = RTStructBuilder.create_from(dicom_series_path=str(folder), rt_struct_path=str(path))
share, same = {}, True
for item in stored.ROIContourSequence:
    name, area = names[item.ReferencedROINumber], 0.0
    for contour in item.ContourSequence:
        x, y = np.array(contour.ContourData, float).reshape(-1, 3)[:, :2].T
        area += abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    share[name] = area / masks[name].sum()
    same &= bool((back.get_roi_mask_by_name(name) == masks[name]).all())
    print(f"{name}: {masks[name].sum()} mm2 of pixels, {area:g} mm2 inside of the contour ({share[name]:.0%})")
print(f"rt-utils {version('rt-utils')}: it reads back its own masks: {same}")
as_described = same and share["disc of radius 2"] < 0.65 and share["line of one pixel"] == 0
sys.exit(0 if as_described and share["disc of radius 20"] < 0.97 else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py" "$folder"
