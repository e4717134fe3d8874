#!/usr/bin/env bash
# TIFF stacks as ImageJ writes them beyond 4 GB: Pillow 12.3.0 and SimpleITK 2.5.5 read the first plane, and say nothing.
#
# One would expect: all planes, or an error. ImageJ describes a large stack by a single directory, with the number of
# planes in its description and the planes one behind the other; tifffile writes the same with `truncate=True`, and
# tifffile and scikit-image read all of it.
# What happens: Pillow counts one frame, SimpleITK gives an image of two dimensions; both without a warning.
#
# Why it matters: stacks from the microscope become their first, often empty, plane, and a loop over `n_frames` looks
# right. The same stack saved plane by plane (smaller, or through other programs) is read whole, so a set of both is cut.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==12.3.0 tifffile==2026.3.3 numpy==2.4.6 \
    SimpleITK==2.5.5
cat > "$folder/program.py" <<'PROGRAM'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import SimpleITK
import tifffile
from PIL import Image

folder, seen = Path(sys.argv[1]), {}
stack = np.arange(5 * 6 * 7, dtype=np.uint16).reshape(5, 6, 7)
for name, truncate in (("a directory for each plane", False), ("one directory", True)):
    path = folder / f"{truncate}.tif"
    tifffile.imwrite(path, stack, imagej=True, truncate=truncate)
    with Image.open(path) as image:
        frames = image.n_frames
    read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    assert np.array_equal(tifffile.imread(path), stack)
    seen[truncate] = (frames, read.shape)
    print(f"{name}: tifffile {stack.shape}, Pillow {frames} frames, SimpleITK {read.shape}")
print(", ".join(f"{name} {version(name)}" for name in ("pillow", "tifffile", "SimpleITK")))
sys.exit(0 if seen == {False: (5, (5, 6, 7)), True: (1, (6, 7))} else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py" "$folder"
