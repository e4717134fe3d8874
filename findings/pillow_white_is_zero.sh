#!/usr/bin/env bash
# Pillow 12.3.0, TIFF in which 0 is white (PhotometricInterpretation 0): 8 bits are turned round, 16 bits are not.
#
# One would expect: one rule for all depths. A reader either gives the stored numbers, as tifffile does, or what they
# look like, so that 0 becomes the largest number.
# What happens: for 8 bits the largest number of the result is white; for 16 bits (mode "I;16") the stored numbers come
# back, of the same picture a negative.
#
# Why it matters: digitised X-ray films and gels are often kept so, because film is dark where light was. A set in which
# some scans were reduced to 8 bits holds positives and negatives after loading; a model trained on it sees bones that are
# white in one and black in the next.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==12.3.0 tifffile==2026.3.3 numpy==2.4.6
cat > "$folder/program.py" <<'PROGRAM'
import sys
from pathlib import Path

import numpy as np
import PIL
import tifffile
from PIL import Image

folder, turned = Path(sys.argv[1]), {}
for bits, kind in ((8, np.uint8), (16, np.uint16)):
    stored = np.linspace(0, 2**bits - 1, 12).round().astype(kind).reshape(3, 4)
    tifffile.imwrite(folder / f"{bits}.tif", stored, photometric="miniswhite", metadata=None)
    with Image.open(folder / f"{bits}.tif") as image:
        seen, mode = np.asarray(image), image.mode
    assert np.array_equal(tifffile.imread(folder / f"{bits}.tif"), stored)
    turned[bits] = bool(np.array_equal(seen, 2**bits - 1 - stored))
    print(f"{bits} bits, mode {mode}: stored {stored[0].tolist()}, read {seen[0].tolist()}")
print(f"Pillow {PIL.__version__}, tifffile {tifffile.__version__}: turned round: {turned}")
sys.exit(0 if turned == {8: True, 16: False} else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py" "$folder"
