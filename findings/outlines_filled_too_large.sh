#!/usr/bin/env bash
# Pillow 12.3.0 (ImageDraw.polygon) and OpenCV 4.12 (fillPoly): a filled outline is half a pixel too large all around.
#
# One would expect: over many places, as many pixels as the outline has area. So it is in scikit-image 0.26
# (draw.polygon) and in pycocotools 2.0.11, to within 2 % from a radius of 2 pixels on.
# What happens: both also paint the pixels that the edge touches, whichever side their centres lie on. Discs of a radius
# of 2 pixels get 1.7 times their area, of 5 pixels 1.2 times, of 10 pixels 1.09 times.
#
# Why it matters: outlines of lesions (LabelMe, COCO, RTSTRUCT) are often turned into masks by one of the two. Small
# lesions grow by two thirds, and two teams that fill the same outlines measure a Dice of 0.74 to each other.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==12.3.0 numpy==2.2.6 \
    opencv-python-headless==4.12.0.88 scikit-image==0.26.0 pycocotools==2.0.11
cat > "$folder/program.py" <<'PROGRAM'
import sys

import cv2
import numpy as np
import PIL
import skimage
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from skimage.draw import polygon

SIDE, PLACES = 64, 400


def by_pillow(points):
    image = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(image).polygon([tuple(point) for point in points.tolist()], fill=1)
    return np.asarray(image)


def by_opencv(points):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    return mask


def by_scikit_image(points):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[polygon(points[:, 1], points[:, 0], mask.shape)] = 1
    return mask


def by_pycocotools(points):
    return coco.decode(coco.merge(coco.frPyObjects([points.ravel().tolist()], SIDE, SIDE)))


WAYS = {"Pillow": by_pillow, "OpenCV": by_opencv, "scikit-image": by_scikit_image, "pycocotools": by_pycocotools}
angles, rng, shares = np.linspace(0, 2 * np.pi, 48, endpoint=False), np.random.default_rng(0), {}
for radius in (2, 5, 10):
    area = 24 * np.sin(2 * np.pi / 48) * radius**2
    discs = [
        centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        for centre in rng.uniform(20, 44, (PLACES, 2))
    ]
    for name, fill in WAYS.items():
        shares[name, radius] = np.mean([fill(disc).sum() for disc in discs]) / area
    told = ", ".join(f"{name} {shares[name, radius]:.2f}" for name in WAYS)
    print(f"radius {radius}: pixels for each pixel of area: {told}")
pairs = [(by_pillow(disc), by_scikit_image(disc)) for disc in
         (rng.uniform(20, 44, 2) + 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1) for _ in range(PLACES))]
dice = np.mean([2 * (one & other).sum() / (one.sum() + other.sum()) for one, other in pairs])
print(f"radius 2: Dice of Pillow's masks to those of scikit-image: {dice:.2f}")
print(f"Pillow {PIL.__version__}, OpenCV {cv2.__version__}, scikit-image {skimage.__version__}")
large = all(shares[name, 2] > 1.5 and shares[name, 10] > 1.05 for name in ("Pillow", "OpenCV"))
right = all(abs(shares[name, radius] - 1) < 0.02 for name in ("scikit-image", "pycocotools") for radius in (2, 5, 10))
sys.exit(0 if large and right and dice < 0.85 else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
