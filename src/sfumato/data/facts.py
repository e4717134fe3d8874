"""What one image and its masks are like, in numbers: what `check` judges and `prepare` writes down.

Facts are measured once, where a file is decoded, and are small: a set of a million images has two gigabytes of them at
most.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Int, Shaped

from sfumato.data.channels import has_colour, read_case
from sfumato.data.encoding import Storage, storage
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.image import Pixels, read_mask
from sfumato.data.formats.joined import OUTSIDE
from sfumato.data.formats.scan import is_volume, read_volume
from sfumato.data.formats.volume import Axis, flat_axis, spacing
from sfumato.data.likeness import checksum, perceptual_hashes, pixel_digest, shrunk, thumbnails
from sfumato.data.manifest import Case
from sfumato.data.mask import IGNORED, MaskRule, count_values, decide_mask_rule
from sfumato.data.statistics import Stats, counts_of_bytes, statistics_of_counts, stats_of
from sfumato.errors import DataError

_Raw = Shaped[np.ndarray, "_ _"]
"""A mask as stored; its size need not be that of its image."""

_HALF = MaskRule((), 128, "lossy masks: 128 and above is the object")


class _Levels(NamedTuple):
    """Which whole numbers an 8- or 16-bit image uses.

    Attributes:
        distinct: how many different ones.
        step: their greatest common divisor: 257 where 8 bit were stretched to 16, 16 where 12 bit were.
        top: share of the pixels that have the largest value.
    """

    distinct: int
    step: int
    top: float


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """An image.

    Attributes:
        size: height and width in pixels.
        channels: how many.
        dtype: of the stored numbers.
        stats: of its values, or of its volume's.
        constant: one value everywhere.
        coloured: whether three channels differ anywhere.
        digest: equal for equal pictures, however they were encoded; empty where constant.
        hash: perceptual hash (64 bits as 16 hexadecimal digits); few bits differ between near duplicates.
        spacing: millimetres between rows and columns, where the file says so.
        between: millimetres between the planes of its volume, likewise.
        levels: which numbers are used, for uint8 and uint16.
        thumbnail: 32 x 32 bytes, brightness stretched to 0..255; empty where constant.
        storage: how its file stores it; None in archives and volumes.
        orientation: where the axes of its volume lead, such as "RAS", with "~" where they are oblique; else empty.
    """

    size: tuple[int, int]
    channels: int
    dtype: str
    stats: Stats
    constant: bool
    coloured: bool
    digest: str
    hash: str
    spacing: tuple[float, float] | None = None
    between: float | None = None
    levels: _Levels | None = None
    thumbnail: bytes = b""
    storage: Storage | None = None
    orientation: str = ""


@dataclass(frozen=True, kw_only=True)
class MaskFacts:
    """A mask as stored.

    Attributes:
        size: height and width in pixels.
        values: how many pixels have each value.
        components: connected regions of what the mask by itself shows as object (8 neighbours); None: not measured.
        gaps: the same of the rest, where the object has more than half of the mask, which may be inverted; else None.
        outline: pairs of neighbouring pixels of which one is object; None: not measured.
        rim: share of the outermost pixels that are object; None: not measured.
        copies_image: whether it is the image itself.
        storage: how its file stores it; None in archives and volumes.
    """

    size: tuple[int, int]
    values: Mapping[int, int]
    components: int | None = None
    gaps: int | None = None
    outline: int | None = None
    rim: float | None = None
    copies_image: bool = False
    storage: Storage | None = None


class Agreement(NamedTuple):
    """How far the readers of an image agree on what is object, each mask taken by itself.

    Attributes:
        readers: places of the masks that were compared among those of the case.
        areas: pixels that each of them shows as object.
        differing: pixels on which two of them differ, pair by pair as `itertools.combinations` has them.
        pixels: of the image.
    """

    readers: tuple[int, ...]
    areas: tuple[int, ...]
    differing: tuple[int, ...]
    pixels: int

    def turned(self, inverted: Collection[int]) -> "Agreement":
        """The same where object and background have changed places in the masks of these readers."""
        swapped = [reader in inverted for reader in self.readers]
        areas = (self.pixels - area if swap else area for area, swap in zip(self.areas, swapped, strict=True))
        differing = (
            self.pixels - count if one != two else count
            for count, (one, two) in zip(self.differing, combinations(swapped, 2), strict=True)
        )
        return self._replace(areas=tuple(areas), differing=tuple(differing))

    @property
    def dice(self) -> float:
        """Mean Dice over the pairs of readers, 0 to 1; a pair that finds nothing agrees (1)."""
        both = [one + two for one, two in combinations(self.areas, 2)]
        pairs = zip(self.differing, both, strict=True)
        return float(np.mean([1 - unlike / area if area else 1.0 for unlike, area in pairs]))

    @property
    def mean_differing(self) -> float:
        """Mean number of pixels on which a pair differs."""
        return float(np.mean(self.differing))

    @property
    def is_partly_empty(self) -> bool:
        """Whether some readers found nothing, and others something."""
        return 0 < self.areas.count(0) < len(self.areas)


@dataclass(frozen=True, kw_only=True)
class CaseFacts:
    """A case: its image, its masks, and what is wrong with them. What cannot be read is None."""

    id: str
    image: ImageFacts | None = None
    masks: tuple[MaskFacts | None, ...] = ()
    agreement: Agreement | None = None
    problems: tuple[DataError, ...] = field(default=())


class ImageSketch(NamedTuple):
    """An image measured up to what costs less for many images at once.

    Attributes:
        known: makes its facts of the others.
        shape: height, width and channels.
        values: its statistics; of 8 bit, how many pixels have each of the 256 values.
        constant: one value everywhere, though perhaps not in all of its volume.
        small: its thumbnail before the brightness is stretched.
        checksum: of its pixels.
    """

    known: Callable[..., ImageFacts]
    shape: tuple[int, ...]
    values: Stats | list[int]
    constant: bool
    small: Shaped[np.ndarray, "32 32"]
    checksum: int


class CaseSketch(NamedTuple):
    """A case whose facts lack those of its image; `image` is None where it could not be read."""

    facts: CaseFacts
    image: ImageSketch | None


def case_facts(case: Case) -> CaseFacts:
    """Read a case and measure it; nothing that is wrong with its files is raised, all of it is in `problems`."""
    return finish([case_sketch(case)])[0]


def case_sketch(case: Case) -> CaseSketch:
    """The same up to what `finish` works out, which costs less for many cases at once."""
    problems: list[DataError] = []
    pixels: Pixels | None = None
    try:
        pixels = read_case(case)
    except DataError as problem:
        problems.append(problem)
    raws: list[_Raw | None] = []
    for locator in case.masks:
        try:
            raws.append(read_mask(locator))
        except DataError as problem:
            raws.append(None)
            problems.append(problem)
    return sketch_of(case, pixels, raws, problems=problems)


def facts_of(
    case: Case,
    pixels: Pixels | None,
    raws: Sequence[_Raw | None],
    *,
    problems: Sequence[DataError] = (),
) -> CaseFacts:
    """Facts of a case that was read already; see `sketch_of`."""
    return finish([sketch_of(case, pixels, raws, problems=problems)])[0]


def sketch_of(
    case: Case,
    pixels: Pixels | None,
    raws: Sequence[_Raw | None],
    *,
    problems: Sequence[DataError] = (),
    thorough: bool = True,
    shapes: bool = True,
) -> CaseSketch:
    """Measure a case that was read already, up to what `finish` works out.

    Args:
        case: where it was read from.
        pixels: its image, None where it could not be read.
        raws: its masks as stored, in the order of the case.
        problems: what was wrong with its files.
        thorough: see `image_facts`.
        shapes: with the shapes of what the masks show, and not their values alone.
    """
    masks = [
        None if raw is None else _mask(locator, raw, pixels, shapes=shapes)
        for locator, raw in zip(case.masks, raws, strict=True)
    ]
    facts = CaseFacts(
        id=case.id,
        masks=tuple(masks),
        agreement=_agreement(_shown(case, raws, masks)),
        problems=tuple(problems),
    )
    return CaseSketch(facts, None if pixels is None else _sketch(case.image, pixels, thorough=thorough))


def _shown(
    case: Case, raws: Sequence[_Raw | None], masks: Sequence[MaskFacts | None]
) -> dict[int, Bool[np.ndarray, "..."]]:
    """What each reader shows as object, by the place of the mask; nothing where there is but one."""
    if sum(mask is not None for mask in masks) < 2:
        return {}
    return {
        reader: _object(raw, mask.values, mask.storage or storage(locator))
        for reader, (locator, raw, mask) in enumerate(zip(case.masks, raws, masks, strict=True))
        if raw is not None and mask is not None
    }


def finish(sketches: Sequence[CaseSketch]) -> list[CaseFacts]:
    """The facts of cases; of many at once they cost less."""
    images = iter(_finish([sketch.image for sketch in sketches if sketch.image is not None]))
    return [replace(facts, image=next(images)) if image is not None else facts for facts, image in sketches]


def _mask(locator: str, raw: _Raw, image: Pixels | None, *, shapes: bool) -> MaskFacts:
    if shapes:
        return mask_facts(raw, image=image, storage=storage(locator))
    values = count_values(raw)
    return MaskFacts(size=(raw.shape[0], raw.shape[1]), values=values, copies_image=_copies(raw, values, image))


def image_facts(locator: str, pixels: Pixels, *, thorough: bool = True) -> ImageFacts:
    """Facts of an image.

    Args:
        locator: where it was read from.
        pixels: the image.
        thorough: with `levels` and `storage`, by which faults of files are found.
    """
    return _finish([_sketch(locator, pixels, thorough=thorough)])[0]


def _sketch(locator: str, pixels: Pixels, *, thorough: bool) -> ImageSketch:
    target = Locator.parse(locator)
    in_volume, steps = is_volume(target.path), steps_of(locator)
    known = partial(
        ImageFacts,
        size=(pixels.shape[0], pixels.shape[1]),
        channels=pixels.shape[2],
        dtype=str(pixels.dtype),
        coloured=has_colour(pixels),
        spacing=steps and steps[1:],
        between=steps and steps[0],
        levels=levels_of(pixels) if thorough else None,
        storage=storage(locator) if thorough else None,
        orientation=_orientation(target.path) if in_volume else "",
    )
    return ImageSketch(
        known,
        shape=pixels.shape,
        values=counts_of_bytes(pixels) if pixels.dtype == np.uint8 and not in_volume else stats_of(locator, pixels),
        constant=in_volume and bool((pixels == pixels.flat[0]).all()),
        small=shrunk(pixels),
        checksum=checksum(pixels),
    )


def _finish(sketches: Sequence[ImageSketch]) -> list[ImageFacts]:
    """The facts of images: counts and thumbnails are worked on together, since each call of NumPy has its price."""
    if not sketches:
        return []
    small = thumbnails(np.stack([sketch.small for sketch in sketches]))
    counts = [sketch.values for sketch in sketches if not isinstance(sketch.values, Stats)]
    counted = iter(statistics_of_counts(np.array(counts, np.int64).reshape(-1, 256)))
    facts = []
    for sketch, thumb, likeness in zip(sketches, small, perceptual_hashes(small), strict=True):
        stats = sketch.values if isinstance(sketch.values, Stats) else next(counted)
        if sketch.constant or stats.low == stats.high:
            facts.append(sketch.known(stats=stats, constant=True, digest="", hash=""))
            continue
        alike = pixel_digest(sketch.shape, sketch.checksum, thumb)
        thumbnail = thumb.tobytes()
        facts.append(sketch.known(stats=stats, constant=False, digest=alike, hash=likeness, thumbnail=thumbnail))
    return facts


def mask_facts(raw: _Raw, *, image: Pixels | None = None, storage: Storage | None = None) -> MaskFacts:
    """Facts of a mask as stored; `image` is what it was drawn on."""
    values = count_values(raw)
    shown = _object(raw, values, storage)
    rim = np.concatenate([shown[0], shown[-1], shown[1:-1, 0], shown[1:-1, -1]])
    return MaskFacts(
        size=(raw.shape[0], raw.shape[1]),
        values=values,
        components=_regions(shown),
        gaps=_regions(~shown) if shown.mean() > 0.5 else None,
        outline=int((shown[1:] != shown[:-1]).sum() + (shown[:, 1:] != shown[:, :-1]).sum()),
        rim=float(rim.mean()),
        copies_image=_copies(raw, values, image),
        storage=storage,
    )


def _regions(shown: Bool[np.ndarray, "_ _"]) -> int:
    """Connected regions, corners included."""
    from scipy import ndimage

    return int(ndimage.label(shown, np.ones((3, 3)))[1])


def _copies(raw: _Raw, values: Mapping[int, int], image: Pixels | None) -> bool:
    """Whether a mask is its image; one of two values may look like it."""
    if image is None or len(values) <= 2 or raw.shape != image.shape[:2]:
        return False
    return bool((image == raw[..., None]).all())


def _object(raw: _Raw, values: Mapping[int, int], storage: Storage | None) -> Bool[np.ndarray, "_ _"]:
    """What a mask shows as object by itself, before the rule of the whole set is known; nothing out of its view."""
    if storage is not None and storage.format == "JPEG":
        return np.asarray((_HALF.apply(raw) > 0) & (raw != OUTSIDE))
    try:
        rule = decide_mask_rule(values, ignore=OUTSIDE if OUTSIDE in values else None)
        classes = rule.apply(raw)
        return np.asarray((classes > 0) & (classes != IGNORED))
    except DataError:  # numbers of objects
        return np.asarray((raw > 0) & (raw != OUTSIDE))


def _agreement(shown: Mapping[int, Bool[np.ndarray, "..."]]) -> Agreement | None:
    """Of the object that each reader shows; None for fewer than two masks, or masks of different sizes."""
    objects = list(shown.values())
    if len(objects) < 2 or len({each.shape for each in objects}) > 1:
        return None
    return Agreement(
        readers=tuple(shown),
        areas=tuple(int(each.sum()) for each in objects),
        differing=tuple(int((one != two).sum()) for one, two in combinations(objects, 2)),
        pixels=objects[0].size,
    )


def levels_of(pixels: Shaped[np.ndarray, "..."]) -> _Levels | None:
    """Which numbers an 8- or 16-bit image uses; None for others."""
    if pixels.dtype not in (np.uint8, np.uint16):
        return None
    counts: Int[np.ndarray, " levels"] = np.bincount(pixels.reshape(-1))
    present = np.flatnonzero(counts)
    return _Levels(len(present), int(np.gcd.reduce(present)), float(counts[-1] / pixels.size))


def spacing_of(locator: str) -> tuple[float, float] | None:
    """Millimetres between rows and columns of an image, where its file says so."""
    steps = steps_of(locator)
    return steps and steps[1:]


def steps_of(locator: str) -> tuple[float, float, float] | None:
    """Millimetres between the planes, rows and columns of a volume that an image is a plane of; None of others."""
    target = Locator.parse(locator)
    if not is_volume(target.path):
        return None
    volume = read_volume(target.path)
    axis = target.member.split("/")[0] if target.member else flat_axis(volume.voxels.shape, volume.affine)
    return spacing(volume.affine, cast(Axis, axis))


def _orientation(path: Path) -> str:
    """Where the stored axes lead; "~" where one is more than 1 degree off the patient's."""
    import nibabel

    affine = read_volume(path).affine
    steps = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    oblique = np.abs(steps).max(axis=0).min() < np.cos(np.radians(1))
    return "".join(nibabel.aff2axcodes(affine)) + ("~" if oblique else "")
