"""Synthetic dermoscopy with known truth and known disagreement.

A picture shows skin, a pigmented lesion and what disturbs: hair, vignetting, gel bubbles, blur, noise. The lesion's
outline is a star-shaped curve around its centre,

    r(theta) = R * ellipse(theta) * (1 + sum_k a_k cos(k theta + phi_k)),                                       (1)

whose irregularity `a`, number of colours and darkness grow with the grade, which is the class of the picture.

Readers agree on the core (1) and disagree on the *halo*: a fainter fringe on one side, of known width, that reader i
includes with the known probability p_i, as a whole. Each reader also draws a little inside or outside the edge (a
known bias). So for each pixel the probability that a reader calls it lesion is known, and uncertainty can be scored:
`truth/` holds it as images (255 = certain), `truth.json` the numbers behind.

With more than two classes of pixels, masks hold class indices: 1 is the lesion, the last is the halo beside it, and
those between are darker nuclei, each inside the one before.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw
from scipy import fft, ndimage

from sfumato.data.formats.image import write_image
from sfumato.data.manifest import Case, write_manifest
from sfumato.data.spec import with_channels
from sfumato.errors import UsageError
from sfumato.randomness import derive_seed

DETAIL = 2
"""Pictures are drawn this many times larger, then averaged down: thin hairs stay smooth."""

BIAS = 0.02
"""Readers' outlines differ by up to this share of half the picture's side, from tight to generous."""

SKINS = (
    np.array([[236, 200, 184], [226, 184, 160], [214, 164, 138], [205, 150, 128], [232, 190, 178]], np.float32) / 255
)
PIGMENTS = (
    np.array([[150, 96, 66], [96, 56, 40], [58, 36, 32], [104, 100, 112], [156, 88, 80], [206, 180, 168]], np.float32)
    / 255
)
"""Colours of lesions from the usual to the alarming: light brown, brown, black, blue-grey, red, white."""

_MAX_MASK_CLASSES = 8
"""More nuclei than this leaves would be too thin to see."""

_Plane = Float[np.ndarray, "h w"]
_Picture = Float[np.ndarray, "h w 3"]


class _Style(NamedTuple):
    """What all pictures of a set have in common; see `make_toy`."""

    size: int
    classes: int
    mask_classes: int
    readers: int
    grey: bool


class Lesion(NamedTuple):
    """What is known about a lesion. Lengths are in half picture sides.

    Attributes:
        grade: class, from 0 (harmless looking).
        halo: largest width of the halo, 0 without one.
        core: distance of each pixel inside the core's edge (negative outside).
        fringe: the same for core and halo together.
    """

    grade: int
    halo: float
    core: _Plane
    fringe: _Plane


def make_toy(
    folder: Path,
    *,
    cases: int = 200,
    size: int = 64,
    classes: int = 3,
    mask_classes: int = 2,
    readers: int = 4,
    grey: bool = False,
    seed: int = 0,
) -> None:
    """Draw the data set into a new folder.

    Writes `images/000000.png`, `masks/reader_0/000000.png` ..., `truth/000000.png`, `truth.json`, `manifest.csv`.
    Picture i depends on the seed, the size and i only. Each patient has one or two pictures.

    Args:
        folder: where to; must be new or empty.
        cases: number of pictures.
        size: height and width.
        classes: number of grades.
        mask_classes: number of classes of pixels, background included. Two are stored as 0/255, more as indices.
        readers: masks per picture.
        grey: store brightness alone.
        seed: another seed, other pictures.

    Raises:
        UsageError: the folder is not empty, or a number is impossible.
    """
    if min(cases, classes, readers) < 1 or size < 16 or not 2 <= mask_classes <= _MAX_MASK_CLASSES:
        raise UsageError(
            "toy data needs at least 1 case, class and reader, a size of 16, "
            f"and 2 to {_MAX_MASK_CLASSES} classes of pixels"
        )
    refuse_filled(folder)
    for name in ("images", "truth", *(f"masks/reader_{reader}" for reader in range(readers))):
        (folder / name).mkdir(parents=True)
    made, truths = [], []
    style = _Style(size, classes, mask_classes, readers, grey)
    for index in range(cases):
        case, truth = _make_case(folder, index, style, seed=seed)
        made.append(case)
        truths.append(truth)
    write_manifest(folder / "manifest.csv", made)
    known = {"readers": [{"probability": p, "bias": b} for p, b in reader_habits(readers)], "cases": truths}
    if mask_classes > 2:
        known["mask_classes"] = mask_names(mask_classes)
    (folder / "truth.json").write_text(json.dumps(known, indent=1), encoding="utf-8")


def refuse_filled(folder: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        UsageError: it does.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", expected="a new or empty folder", remedy="choose another folder")


def mask_names(mask_classes: int) -> list[str]:
    """Names of the classes of pixels."""
    nuclei = [f"nucleus {number}" for number in range(1, mask_classes - 2)]
    names = ["skin", "lesion", *nuclei]
    return [*names, "halo"] if mask_classes > 2 else names


def reader_habits(readers: int) -> list[tuple[float, float]]:
    """Probability to include the halo, and outline bias, of each reader: from tight to generous."""
    steps = np.linspace(0, 1, readers) if readers > 1 else np.array([0.5])
    return [(round(0.1 + 0.8 * step, 4), round(BIAS * (2 * step - 1), 4)) for step in steps.tolist()]


def _make_case(folder: Path, index: int, style: _Style, *, seed: int) -> tuple[Case, dict[str, object]]:
    random = np.random.default_rng(derive_seed(seed, "toy", style.size, index))
    name = f"{index:06d}"
    lesion = draw_lesion(random, size=style.size * DETAIL, grade=index % style.classes, classes=style.classes)
    picture = draw_picture(random, lesion, classes=style.classes, nuclei=_nuclei(lesion, style.mask_classes))
    write_image(folder / "images" / f"{name}.png", with_channels(picture, 1 if style.grey else 3))
    habits = reader_habits(style.readers)
    included = [bool(random.random() < probability) for probability, _ in habits]
    paths = [folder / "masks" / f"reader_{reader}" / f"{name}.png" for reader in range(style.readers)]
    for path, (_, bias), halo in zip(paths, habits, included, strict=True):
        write_image(path, class_reading(lesion, bias=bias, halo=halo, mask_classes=style.mask_classes))
    write_image(folder / "truth" / f"{name}.png", np.rint(probability_map(lesion, habits) * 255).astype(np.uint8))
    case = Case(
        id=name,
        image=str(folder / "images" / f"{name}.png"),
        masks=tuple(map(str, paths)),
        label=f"grade {lesion.grade}",
        patient=f"patient {index * 2 // 3:04d}",
        origin="synthetic",
        source="toy",
    )
    return case, {"id": name, "grade": lesion.grade, "halo": round(lesion.halo, 4), "included": included}


def _reading(lesion: Lesion, *, bias: float, halo: bool) -> Bool[np.ndarray, "h w"]:
    """A reader's mask at the picture's size; `bias` moves the outline outwards."""
    return _shrink(((lesion.fringe if halo else lesion.core) > -bias).astype(np.float32)) >= 0.5


def class_reading(lesion: Lesion, *, bias: float, halo: bool, mask_classes: int) -> UInt8[np.ndarray, "h w"]:
    """A reader's mask as it is stored: 0/255, or class indices if there are more than two classes."""
    if mask_classes == 2:
        return _reading(lesion, bias=bias, halo=halo).astype(np.uint8) * 255
    mask = (mask_classes - 1) * _reading(lesion, bias=bias, halo=halo).astype(np.uint8)
    for index, level in enumerate([0.0, *_nuclei(lesion, mask_classes)], start=1):
        inside = _shrink((lesion.core > level - bias).astype(np.float32)) >= 0.5
        mask[inside] = index
    return mask


def _nuclei(lesion: Lesion, mask_classes: int) -> list[float]:
    """How far inside the lesion's edge each nucleus begins."""
    count = mask_classes - 3
    return [float(lesion.core.max()) * (number + 1) / (count + 2) for number in range(count)]


def probability_map(lesion: Lesion, habits: Sequence[tuple[float, float]]) -> _Plane:
    """Probability of each pixel to be called lesion by a reader taken at random."""
    parts = [
        p * _reading(lesion, bias=bias, halo=True) + (1 - p) * _reading(lesion, bias=bias, halo=False)
        for p, bias in habits
    ]
    return np.asarray(np.mean(parts, axis=0))


def draw_lesion(random: np.random.Generator, *, size: int, grade: int, classes: int) -> Lesion:
    """Outline (1) of a lesion of this grade, and its halo on one side."""
    alarm = grade / max(1, classes - 1)
    y, x = _axes(size)
    centre = random.uniform(-0.18, 0.18, 2)
    theta = np.linspace(-np.pi, np.pi, 361)
    radius = _outline(random, theta, alarm)
    halo = float(random.uniform(0.1, 0.3)) if random.random() < 0.6 else 0.0
    fringe = radius + halo * np.clip(0.5 + np.cos(theta - random.uniform(0, 2 * np.pi)), 0, 1)
    down, across = y - float(centre[0]), x - float(centre[1])
    angle, rho = np.arctan2(down, across), np.hypot(down, across)
    core, both = (np.interp(angle, theta, edge).astype(np.float32) - rho for edge in (radius, fringe))
    return Lesion(grade, halo, core, both)


def _outline(random: np.random.Generator, theta: Float[np.ndarray, " n"], alarm: float) -> Float[np.ndarray, " n"]:
    """Radius at each angle by equation (1)."""
    stretch = random.uniform(0.72, 1.0) - 0.12 * alarm
    turned = theta - random.uniform(0, np.pi)
    radius = random.uniform(0.34, 0.56) * stretch / np.hypot(stretch * np.cos(turned), np.sin(turned))
    waves = np.zeros_like(theta)
    for k in range(2, 9):
        amplitude = random.normal() * (0.02 + 0.11 * alarm) * 2 / k
        waves += amplitude * np.cos(k * theta + random.uniform(0, 2 * np.pi))
    return np.asarray(radius * (1 + np.clip(waves, -0.45, 0.45)))


def draw_picture(
    random: np.random.Generator, lesion: Lesion, *, classes: int, nuclei: Sequence[float] = ()
) -> UInt8[np.ndarray, "h w 3"]:
    """The photograph of a lesion, at the picture's size; `nuclei` begin so far inside its edge."""
    alarm = lesion.grade / max(1, classes - 1)
    picture = _skin(random, lesion.core.shape[0])
    picture = _pigmented(random, picture, lesion, alarm)
    for level in nuclei:
        picture = picture * (1 - 0.4 * _step(lesion.core - level, 0.02)[..., None])
    picture = _with_hair(random, picture)
    picture = _bubbles(random, picture)
    picture = ndimage.gaussian_filter(picture, (*[random.uniform(0.3, 1.0) * DETAIL / 2] * 2, 0))
    picture = _vignetted(random, picture)
    small = _shrink(picture)
    small = small + random.normal(0, random.uniform(0.004, 0.012), small.shape)
    return np.asarray(np.rint(small.clip(0, 1) * 255).astype(np.uint8))


def _texture(random: np.random.Generator, size: int, grain: float) -> _Plane:
    """Smooth noise of unit variance whose grains are `grain` of the side."""
    down, across = fft.fftfreq(size)[:, None], fft.rfftfreq(size)
    blur = np.exp(-2 * (np.pi * grain * size) ** 2 * (down**2 + across**2)).astype(np.float32)
    noise = fft.irfft2(fft.rfft2(random.standard_normal((size, size), dtype=np.float32)) * blur, (size, size))
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-9))


def _skin(random: np.random.Generator, size: int) -> _Picture:
    base = random.dirichlet(np.ones(len(SKINS)) * 0.5).astype(np.float32) @ SKINS * random.uniform(0.88, 1.04)
    light = 0.035 * _texture(random, size, 0.16) + 0.012 * _texture(random, size, 0.012)
    flush = 0.02 * _texture(random, size, 0.08)
    return base * (1 + light[..., None]) + flush[..., None] * np.array([0.6, -0.5, -0.4], np.float32)


def _pigmented(random: np.random.Generator, skin: _Picture, lesion: Lesion, alarm: float) -> _Picture:
    size = skin.shape[0]
    ragged = 0.018 * _texture(random, size, 0.02) * (1 + alarm)
    edge = random.uniform(0.02, 0.05)
    cover = _step(lesion.core + ragged, edge)
    fringe = _step(lesion.fringe + 2 * ragged, 1.6 * edge) * random.uniform(0.3, 0.42) * (lesion.halo > 0)
    colour = _colours(random, size, lesion, alarm) * _network(random, size, alarm)[..., None]
    opacity = np.maximum(cover * (0.72 + 0.2 * alarm), fringe)[..., None]
    stain = skin * (1 - opacity) + colour * opacity
    return np.asarray(stain * (1 - 0.06 * _step(lesion.fringe + 0.06, 0.08)[..., None]))


def _colours(random: np.random.Generator, size: int, lesion: Lesion, alarm: float) -> _Picture:
    """Patches of more and more alarming colours; the middle is darker than the rim."""
    count = 1 + round(alarm * (len(PIGMENTS) - 2)) if alarm else 1
    picture = np.ones((size, size, 1), np.float32) * (PIGMENTS[0] * (1 - 0.25 * alarm))
    picture = picture * (1 - 0.25 * np.clip(lesion.core * 2.2, 0, 1)[..., None])
    for pigment in random.permutation(np.arange(1, 1 + count)):
        patch = _step(_texture(random, size, random.uniform(0.05, 0.1)) - random.uniform(0.3, 0.9), 0.45)[..., None]
        patch *= random.uniform(0.5, 0.9)
        picture = picture * (1 - patch) + PIGMENTS[pigment] * random.uniform(0.85, 1.1) * patch
    return np.asarray(picture)


def _network(random: np.random.Generator, size: int, alarm: float) -> _Plane:
    """Factor of the pigment network: dark lines around paler holes, and dark globules for higher grades."""
    grain = random.uniform(0.012, 0.02)
    lines = np.exp(-((_texture(random, size, grain) / 0.35) ** 2))
    globules = _step(_texture(random, size, 0.012) - 2.0 + 0.3 * alarm, 0.15)
    return (1 - random.uniform(0.12, 0.3) * lines) * (1 - 0.45 * alarm * globules) * (1.06 + 0 * lines)


def _with_hair(random: np.random.Generator, picture: _Picture) -> _Picture:
    """Bent, tapering strokes of one colour."""
    size = picture.shape[0]
    sheet = Image.new("L", (size, size))
    pen = ImageDraw.Draw(sheet)
    for _ in range(random.poisson(3) if random.random() < 0.6 else 0):
        start, bend, end = random.uniform(-0.1, 1.1, (3, 2)) * size
        bend = 0.7 * (start + end) / 2 + 0.3 * bend
        t = np.linspace(0, 1, 24)[:, None]
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        pen.line(
            [tuple(point) for point in curve.tolist()],
            fill=int(random.integers(150, 240)),
            width=max(1, round(size / 90)),
        )
    opacity = ndimage.gaussian_filter(np.asarray(sheet, dtype=np.float32) / 255, 0.6)[..., None]
    colour = random.choice([[0.13, 0.09, 0.08], [0.26, 0.17, 0.12], [0.45, 0.32, 0.2]], axis=0).astype(np.float32)
    return np.asarray(picture * (1 - opacity) + colour * opacity)


def _bubbles(random: np.random.Generator, picture: _Picture) -> _Picture:
    """Bright rings of gel bubbles and specks of reflected light."""
    size = picture.shape[0]
    y, x = _axes(size)
    for _ in range(random.poisson(0.7)):
        row, column, radius = (random.uniform(*ends) for ends in ((-1, 1), (-1, 1), (0.03, 0.1)))
        distance = np.hypot(y - row, x - column)
        ring = np.exp(-(((distance - radius) / 0.016) ** 2)) * np.clip(0.5 + (column - x + row - y) / radius, 0, 1)
        picture = picture + 0.14 * ring[..., None]
    return picture


def _vignetted(random: np.random.Generator, picture: _Picture) -> _Picture:
    """Corners darken, some pictures show the rim of the lens; the white balance is a little off."""
    size = picture.shape[0]
    y, x = _axes(size)
    rho = np.hypot(y - random.uniform(-0.1, 0.1), x - random.uniform(-0.1, 0.1))
    shade = 1 - random.uniform(0.1, 0.35) * np.clip(rho / 1.41, 0, 1) ** 3
    if random.random() < 0.15:
        shade = shade * (0.04 + 0.96 * _step(random.uniform(1.05, 1.25) - rho, 0.02))
    return picture * shade[..., None] * random.normal(1, 0.02, 3).astype(np.float32)


def _axes(size: int) -> tuple[Float[np.ndarray, "h 1"], Float[np.ndarray, "1 w"]]:
    """Rows and columns from -1 to 1."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    return line[:, None], line[None]


def _step(distance: _Plane, width: float) -> _Plane:
    """From 0 to 1 around distance 0."""
    return 1 / (1 + np.exp(-np.clip(distance / width * 2, -40, 40)))


def _shrink(picture: Float[np.ndarray, "h w *c"]) -> Float[np.ndarray, "height width *c"]:
    """Mean over the blocks of `DETAIL` x `DETAIL` drawn pixels."""
    side = picture.shape[0] // DETAIL
    return np.asarray(picture.reshape(side, DETAIL, side, DETAIL, *picture.shape[2:]).mean((1, 3)))
