#!/usr/bin/env bash
# Pillow 12.3.0 and opencv-python-headless 5.0.0.93 read other numbers from one PGM or PPM file.
#
# Expected: a grey map holds numbers from 0 to the "maxval" of its header, and a reader gives these numbers: so does
# OpenCV with IMREAD_UNCHANGED. Seen: Pillow stretches them, so that maxval becomes white. Of a label map with maxval 3
# the classes 0, 1, 2, 3 come out as 0, 85, 170, 255; of a picture of 10 bits stored with maxval 1000 the number 500 as
# 32768, in mode "I"; and of a colour picture of 16 bits each colour keeps its high byte alone.
#
# It matters since PGM is the form of older sets in mammography, ophthalmology and microscopy, and a natural form for
# label maps: masks change their classes with the library that reads them, and intensities their unit. That a file has
# maxval 255, as most have, hides it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==12.3.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$folder"
cat > read.py <<'PYTHON'
import cv2
import numpy as np
from PIL import Image

FILES = {
    "labels.pgm": b"P5\n4 1\n3\n" + bytes([0, 1, 2, 3]),
    "ten_bits.pgm": b"P5\n3 1\n1000\n" + b"".join(number.to_bytes(2, "big") for number in (0, 500, 1000)),
    "colour.ppm": b"P6\n1 1\n65535\n" + b"".join(number.to_bytes(2, "big") for number in (0x1234, 0x5678, 0x9ABC)),
}
for name, content in FILES.items():
    with open(name, "wb") as file:
        file.write(content)
    with Image.open(name) as image:
        by_pillow = np.asarray(image).ravel().tolist()
    by_opencv = cv2.imread(name, cv2.IMREAD_UNCHANGED)
    by_opencv = (by_opencv[..., ::-1] if by_opencv.ndim == 3 else by_opencv).ravel().tolist()
    print(name, "Pillow", by_pillow, "OpenCV", by_opencv)
PYTHON
seen=$("$folder/venv/bin/python" read.py)
echo "$seen"
[[ "$seen" == "labels.pgm Pillow [0, 85, 170, 255] OpenCV [0, 1, 2, 3]
ten_bits.pgm Pillow [0, 32768, 65535] OpenCV [0, 500, 1000]
colour.ppm Pillow [18, 86, 154] OpenCV [4660, 22136, 39612]" ]]
