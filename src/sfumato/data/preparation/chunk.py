"""Decode cases once, a chunk at a time, into a spool folder; what a worker process of `prepare` does.

A chunk becomes three files: `00012.images` and `00012.<rule>.masks` with the numbers of its images and masks at the
model's size, one after another, and `00012.json` with the facts of its cases. The last is written last and says that
the chunk is whole. Images are kept as they were read, since the intensity rule needs all of them; masks are kept as
classes, by the rule in their file's name. Three channels that are the same are kept as one.

Nothing here imports torch unless images have to be resized.
"""

import hashlib
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import ConfigDict, TypeAdapter

from sfumato.atomic import write_atomic
from sfumato.data.channels import read_case, with_channels, without_copies
from sfumato.data.facts import CaseFacts, CaseSketch, finish, sketch_of, spacing_of
from sfumato.data.formats.image import Pixels, Plane, read_mask
from sfumato.data.formats.joined import mask_words
from sfumato.data.formats.locator import Locator
from sfumato.data.intensity import case_stats
from sfumato.data.manifest import Case
from sfumato.data.mask import MaskRule, count_values
from sfumato.data.placement import Canvas, Placement, fit_canvas, no_spacing
from sfumato.data.statistics import Stats
from sfumato.data.volumes import by_volume, placed_volume
from sfumato.errors import DataError, collected

_CHUNK = 64
"""Cases in a chunk of files of their own."""

LARGEST_CHUNK = 1024
"""Cases of one file that are decoded together, so that the file is read once."""

CHUNKS = 32
"""A small set is cut into so many chunks, so that all processes have work."""


CASES_MEASURED = 200
"""Cases, spread over the set, whose masks have their shapes measured; of the others only the values are counted."""


class Chunk(NamedTuple):
    """Cases that are decoded together: neighbours, so those of one volume or archive.

    Attributes:
        number: its place in the set.
        first: row of its first case.
        cases: they.
    """

    number: int
    first: int
    cases: tuple[Case, ...]


def cut_chunks(cases: Sequence[Case], *, dimensions: Literal[2, 3] = 2) -> list[Chunk]:
    """The chunks of a set; they depend on the cases alone, and whole volumes lie in one."""
    most = min(_CHUNK, max(1, len(cases) // CHUNKS))
    starts, file = [0], ""
    for row, case in enumerate(cases):
        size, previous = row - starts[-1], file
        file = str(case.volume) if dimensions == 3 else str(Locator.parse(case.image).path)
        largest = len(cases) if dimensions == 3 else LARGEST_CHUNK
        if size >= (largest if file == previous else most):
            starts.append(row)
    ends = [*starts[1:], len(cases)]
    return [
        Chunk(number, first, tuple(cases[first:end]))
        for number, (first, end) in enumerate(zip(starts, ends, strict=True))
    ]


class Job(NamedTuple):
    """What is done to each case.

    Attributes:
        spool: folder of the chunks.
        canvas: how images get to the model's size, or whole volumes to its spacing.
        rule: what mask values mean, as far as it is known; None without masks.
        certain: a value that no class has is an error, and no sign that the rule has to be decided anew.
        every: of so many cases, one has the shapes of its masks measured.
        dimensions: 2: every case is an image; 3: the planes of a volume are written as one.
    """

    spool: Path
    canvas: Canvas
    rule: MaskRule | None
    certain: bool
    every: int = 1
    dimensions: Literal[2, 3] = 2

    def wholes(self, cases: Sequence[Case]) -> list[tuple[Case, ...]]:
        """What is written as one: each image, or the planes of each volume."""
        return by_volume(cases) if self.dimensions == 3 else [(case,) for case in cases]

    @property
    def plane_canvas(self) -> Canvas:
        """How what is read from one place gets to its size: planes of volumes keep theirs until they lie together."""
        return Canvas(None) if self.dimensions == 3 else self.canvas


class DecodedCase(NamedTuple):
    """What is known of a decoded case.

    Attributes:
        facts: of its image and masks.
        channels: how many are in the spool.
        stats: one for each file of its image (`case_stats`).
        planes: how many a whole volume has, whose facts are those of its first; None of an image.
    """

    facts: CaseFacts
    channels: int
    stats: tuple[Stats, ...]
    planes: int | None = None

    def placed(self, canvas: Canvas) -> Placement:
        """Where it goes."""
        image = self.facts.image
        assert image is not None
        if self.planes is None:
            return canvas.place(image.size, image.spacing)
        spacing = None if image.spacing is None or image.between is None else (image.between, *image.spacing)
        return canvas.place((self.planes, *image.size), spacing)


class Written(NamedTuple):
    """The facts of a chunk.

    Attributes:
        rows: in the order of its cases.
        checksum: CRC-32 of its images.
    """

    rows: tuple[DecodedCase, ...]
    checksum: int


_FORM = TypeAdapter(
    Written, config=ConfigDict(arbitrary_types_allowed=True, ser_json_bytes="base64", val_json_bytes="base64")
)


class ChunkFiles(NamedTuple):
    """Where the parts of a chunk are."""

    images: Path
    masks: Path | None
    facts: Path


def chunk_files(spool: Path, number: int, rule: MaskRule | None) -> ChunkFiles:
    """The files of a chunk, its masks by a rule."""
    name = "" if rule is None else hashlib.blake2b(repr(rule._replace(text="")).encode(), digest_size=4).hexdigest()
    masks = spool / f"{number:06}.{name}.masks" if rule is not None else None
    return ChunkFiles(spool / f"{number:06}.images", masks, spool / f"{number:06}.json")


class ChunkResult(NamedTuple):
    """What came of a chunk.

    Attributes:
        problems: of its files; with any, nothing was written.
        known: what is known of the other cases then, by their rows in the set.
    """

    problems: Sequence[DataError]
    known: Mapping[int, DecodedCase]


def decode(job: Job, chunk: Chunk) -> ChunkResult:
    """Write a chunk, unless there are problems."""
    files, problems = chunk_files(job.spool, chunk.number, job.rule), list[DataError]()
    kept, masks, known, checksum = dict[int, _Kept](), list[bytes](), True, 0
    draft = files.images.with_suffix(".part")
    rows = count(chunk.first)
    with draft.open("wb") as file:
        for cases in job.wholes(chunk.cases):
            decoded = {
                row: each
                for case, row in zip(cases, rows, strict=False)
                if (each := _decode(case, job, problems, shapes=row % job.every == 0)) is not None
            }
            kept |= {row: each.kept for row, each in decoded.items()}
            if len(decoded) < len(cases) or (whole := _whole(cases, list(decoded.values()), job, problems)) is None:
                continue
            content = np.ascontiguousarray(whole.image).data
            checksum = zlib.crc32(content, checksum)
            file.write(content)
            kept |= {row: each.kept._replace(channels=whole.image.shape[-1]) for row, each in decoded.items()}
            known = known and whole.masks is not None
            masks += [np.ascontiguousarray(mask).tobytes() for mask in whole.masks or ()]
    if problems:
        draft.unlink()
        return ChunkResult(problems, dict(zip(kept, _rows(list(kept.values())), strict=True)))
    draft.replace(files.images)
    if known and files.masks is not None:
        write_atomic(files.masks, b"".join(masks), sync=False)
    write_atomic(files.facts, _FORM.dump_json(Written(_rows(list(kept.values())), checksum)), sync=False)
    return ChunkResult([], {})


def decode_masks(job: Job, chunk: Chunk) -> ChunkResult:
    """Write the masks of a chunk again, by a rule that is certain now; its problems, and then nothing is written."""
    files, problems, masks = chunk_files(job.spool, chunk.number, job.rule), list[DataError](), list[bytes]()
    rows = iter(read_chunk(files.facts).rows)
    for cases in job.wholes(chunk.cases):
        first, *_ = (row for _, row in zip(cases, rows, strict=False))
        planes = [_read_as_classes(case, job, first.placed(job.plane_canvas), problems) for case in cases]
        if not problems:
            volume = first._replace(planes=len(cases)).placed(job.canvas) if job.dimensions == 3 else None
            whole = planes[0] if volume is None else _joined(planes, volume)
            masks += [np.ascontiguousarray(mask).tobytes() for mask in whole]
    if not problems and files.masks is not None:
        write_atomic(files.masks, b"".join(masks), sync=False)
    return ChunkResult(problems, {})


def _read_as_classes(case: Case, job: Job, placement: Placement, problems: list[DataError]) -> list[np.ndarray]:
    """The masks of a case, read again."""
    masks = list[np.ndarray]()
    for locator in case.masks:
        with collected(problems):
            masks.append(_as_classes(locator, read_mask(locator), job, placement))
    return masks


def _whole(
    cases: Sequence[Case], decoded: Sequence["_Decoded"], job: Job, problems: list[DataError]
) -> "_Whole | None":
    """What is written: an image as it is, or the planes of a volume together; None where they are none."""
    if job.dimensions == 2:
        return _Whole(decoded[0].image, decoded[0].masks)
    with collected(problems):
        if len({plane.image.shape[:2] for plane in decoded}) > 1:
            raise DataError(f"the planes of {cases[0].volume} have several sizes", code="DATA-012")
        channels = max(plane.image.shape[2] for plane in decoded)
        image = np.stack([with_channels(plane.image, channels) for plane in decoded])
        placement = placed_volume(job.canvas, image.shape[:3], cases[0].image)
        masks = [plane.masks for plane in decoded if plane.masks is not None]
        volumes = _joined(masks, placement) if len(masks) == len(cases) else None
        return _Whole(fit_canvas(image, placement, nearest=False), volumes)
    return None


def _joined(planes: Sequence[Sequence[np.ndarray]], placement: Placement) -> list[np.ndarray]:
    """The masks of a volume, each of all its planes, where they go."""
    return [fit_canvas(np.stack(masks), placement, nearest=True) for masks in zip(*planes, strict=True)]


def count_mask_values(_: None, locators: Sequence[str]) -> Mapping[int, int]:
    """Pixels of each value in some masks; those that cannot be read are met again, and told, when they are decoded."""
    counts: Counter[int] = Counter()
    for locator in locators:
        with suppress(DataError):
            counts.update(count_values(read_mask(locator)))
    return counts


def read_chunk(path: Path) -> Written:
    """The facts of a chunk that is whole."""
    return _FORM.validate_json(path.read_bytes())


def is_whole(files: ChunkFiles) -> bool:
    """Whether a chunk was written to its end, and nothing of it was lost since."""
    try:
        return read_chunk(files.facts).checksum == zlib.crc32(files.images.read_bytes())
    except (OSError, ValueError):
        return False


class _Kept(NamedTuple):
    """What its row is made of when all cases of the chunk are decoded; `stats` is None where those of the facts do."""

    sketch: CaseSketch
    channels: int
    stats: tuple[Stats, ...] | None


def _rows(kept: Sequence[_Kept]) -> tuple[DecodedCase, ...]:
    facts = finish([case.sketch for case in kept])
    return tuple(
        DecodedCase(each, case.channels, case.stats or (each.image.stats,))
        for each, case in zip(facts, kept, strict=True)
        if each.image is not None
    )


class _Decoded(NamedTuple):
    """A case: its image, its masks as classes (None where the rule does not know a value), and what is kept of it."""

    image: Pixels
    masks: list[np.ndarray] | None
    kept: _Kept


class _Whole(NamedTuple):
    """What is written as one: an image or volume, and its masks as classes (None where the rule is not known)."""

    image: np.ndarray
    masks: list[np.ndarray] | None


def _decode(case: Case, job: Job, problems: list[DataError], *, shapes: bool) -> _Decoded | None:
    pixels, raws = _read(case, problems)
    if pixels is None or len(raws) < len(case.masks):
        return None
    sketch = sketch_of(case, pixels, raws, thorough=False, shapes=shapes)
    spacing, before = spacing_of(case.image), len(problems)
    if job.canvas.spacing is not None and spacing is None:
        problems.append(no_spacing(case.image, job.canvas.spacing))
        return None
    placement = job.plane_canvas.place((pixels.shape[0], pixels.shape[1]), spacing)
    masks = _classes(case, raws, job, placement, problems)
    if len(problems) > before:
        return None
    image = fit_canvas(without_copies(pixels), placement, nearest=False)
    stats = case_stats(case, pixels) if case.channels else None
    return _Decoded(image, masks, _Kept(sketch, image.shape[2], stats))


def _read(case: Case, problems: list[DataError]) -> tuple[Pixels | None, list[Plane]]:
    """Image and masks of a case; what cannot be read, or does not fit together, is a problem and left out."""
    pixels, raws = None, list[Plane]()
    try:
        pixels = read_case(case)
    except DataError as problem:
        problems.append(problem)
    for locator in case.masks:
        try:
            raw = read_mask(locator)
        except DataError as problem:
            problems.append(problem)
            continue
        if pixels is not None and raw.shape != pixels.shape[:2]:
            problems.append(_other_size(case.image, pixels.shape, locator, raw.shape))
        else:
            raws.append(raw)
    return pixels, raws


def _classes(
    case: Case, raws: Sequence[Plane], job: Job, placement: Placement, problems: list[DataError]
) -> list[np.ndarray] | None:
    """The masks of a case as classes; None where the rule does not know a value: a problem if it is certain."""
    if job.rule is None:
        return None
    classes, unknown = list[np.ndarray](), list[DataError]()
    for locator, raw in zip(case.masks, raws, strict=True):
        with collected(unknown):
            classes.append(_as_classes(locator, raw, job, placement))
    problems += unknown if job.certain else []
    return None if unknown else classes


def _as_classes(locator: str, raw: Plane, job: Job, placement: Placement) -> np.ndarray:
    assert job.rule is not None
    try:
        classes = job.rule.apply(raw)
    except DataError as problem:
        problem.finding = f"{mask_words(locator)}: {problem.finding}"
        raise
    return fit_canvas(classes, placement, nearest=True)


def _other_size(image: str, image_shape: tuple[int, ...], mask: str, mask_shape: tuple[int, ...]) -> DataError:
    return DataError(
        f"{mask_words(mask)} is {mask_shape[1]} x {mask_shape[0]} (width x height), "
        f"its image {image} is {image_shape[1]} x {image_shape[0]}",
        expected="a mask of the size of its image",
        remedy="export the mask again at the size of its image; sfumato check with --fix-into does for masks of its "
        "shape",
        code="DATA-012",
    )
