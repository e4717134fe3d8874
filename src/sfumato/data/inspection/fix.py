"""A corrected copy of a source: what can be put right without guessing is, everything else is left out and listed.

Written are `images/` and `masks/` (or one folder per class) with lossless PNG, 16 bit kept, `manifest.csv`, and
`changes.csv`: for each file what was wrong and what was done. The source is only read.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from sfumato.data.copies import in_several_splits, of_patients
from sfumato.data.encoding import Storage
from sfumato.data.facts import CaseFacts, ImageFacts, MaskFacts
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.image import ending_of, read_image, read_mask, write_image
from sfumato.data.formats.scan import is_volume
from sfumato.data.inspection.files import broken
from sfumato.data.inspection.inspect import Inspection
from sfumato.data.manifest import Case, file_names, write_manifest
from sfumato.data.placement import is_of_one_shape, resize
from sfumato.data.source import DiscoveredDataset
from sfumato.errors import DataError, UsageError
from sfumato.tables import write_table

TURNS = {5: (0, True), 6: (-1, False), 7: (2, True), 8: (1, False)}
"""For EXIF orientations that swap height and width: quarter turns to the left, then whether to mirror the diagonal."""


_SHOWN = 6
"""Values of a mask that are named."""


class Change(NamedTuple):
    """A row of `changes.csv`."""

    file: str
    wrong: str
    done: str


class Fixed(NamedTuple):
    """Progress: `done` of `total` cases, the latest with the id `name`."""

    done: int
    total: int
    name: str


def fix(found: DiscoveredDataset, inspection: Inspection, out: Path, *, short: Callable[[str], str]) -> Iterator[Fixed]:
    """Write a corrected copy into an empty folder; iterate to the end to do it.

    Args:
        found: the source, found with `ReadOptions.drop_unpaired`.
        inspection: what is wrong with it.
        out: the folder; `manifest.csv` and `changes.csv` come last.
        short: takes the paths of the source out of a sentence or locator: the copy may be passed on.

    Raises:
        UsageError: the source has volumes.
        DataError: no case is left.
    """
    never = _never_written(found)
    if never:
        raise UsageError(f"{never} not written anew", expected="image files or arrays", remedy="mend what is named")
    changes = [Change(file, "it has no partner", "left out") for file in found.unpaired]
    changes += [Change(file, "it has no class", "left out") for file in found.unlabelled]
    kept = list[Case]()
    writer = _Writer(out, found, inspection, changes)
    for row, case in enumerate(found.cases):
        written = writer.write(row, case)
        if written is not None:
            kept.append(written)
        yield Fixed(row + 1, len(found.cases), case.id)
    if not kept:
        raise DataError(
            "no case is left that could be written",
            expected="at least one whole image (and mask)",
            remedy="mend the files that are named above",
            code="DATA-071",
        )
    write_manifest(out / "manifest.csv", kept)
    told = [tuple(map(short, change)) for change in changes]
    write_table(out / "changes.csv", ["file", "what was wrong", "what was done"], told)


def can_fix(found: DiscoveredDataset, inspection: Inspection) -> bool:
    """Whether a corrected copy would hold any case."""
    if _never_written(found):
        return False
    return any(_can_write(row, case, inspection) for row, case in enumerate(found.cases))


def _can_write(row: int, case: Case, inspection: Inspection) -> bool:
    """Whether the image of a case can be read, and one of its masks be put right where it has some."""
    if inspection.facts[row].image is None:
        return False
    if not case.masks:
        return True
    return any(_fault(inspection, row, reader) is None for reader in range(len(case.masks)))


def _never_written(found: DiscoveredDataset) -> str:
    """What keeps a source from being written anew; empty if nothing does."""
    if any(is_volume(Locator.parse(case.image).path) for case in found.cases):
        return "volumes are"
    if found.ignore is not None:
        return "a source with ignored pixels is"
    return ""


def _fault(inspection: Inspection, row: int, reader: int) -> DataError | None:
    """Why a mask cannot be put right without guessing; None if it can."""
    image, mask, meaning = inspection.facts[row].image, inspection.facts[row].masks[reader], inspection.meaning
    if image is None or mask is None:
        return DataError("it cannot be read", code="DATA-006")
    if mask.copies_image:
        return DataError("it is the image itself", code="DATA-078")
    if meaning.rule is None:
        return DataError("the values of the masks have no meaning", code="DATA-014")
    if any((each.row, each.reader) == (row, reader) for each in meaning.strange):
        return DataError("it has values of no class", code="DATA-075")
    return _fault_of_size(mask, image)


def _fault_of_size(mask: MaskFacts, image: ImageFacts) -> DataError | None:
    """Why a mask cannot be brought to the size of its image; None if it can."""
    if mask.size == image.size:
        return None
    if mask.size == image.size[::-1]:
        if image.storage is not None and image.storage.turned in TURNS:
            return None
        return DataError("it fits its image only when turned, and nothing says which way", code="DATA-072")
    if not is_of_one_shape(mask.size, image.size):
        text = f"its shape, {_size(mask.size)}, is not that of its image, {_size(image.size)}"
        return DataError(text, code="DATA-012")
    return None


class _Mended(NamedTuple):
    """What was wrong with a file, and what was done."""

    wrong: str
    done: str


class _Writer:
    """Writes cases, and notes what it changes."""

    def __init__(self, out: Path, found: DiscoveredDataset, inspection: Inspection, changes: list[Change]) -> None:
        self.out, self.found, self.inspection, self.changes = out, found, inspection, changes
        self.names = file_names([case.id for case in found.cases])
        self.by_class = not found.has_masks
        self.groups = dict(zip(found.classes, file_names(found.classes), strict=True))
        self.dtype = _usual(fact.image.dtype for fact in inspection.facts if fact.image is not None)
        copies = (*inspection.copies.exact, *inspection.copies.near)
        leaks = in_several_splits(found.cases, (*copies, *of_patients(found.cases)))
        self.leaking = set(chain.from_iterable(leaks))

    def write(self, row: int, case: Case) -> Case | None:
        """Write a case; None where it has to be left out."""
        fact = self.inspection.facts[row]
        if fact.image is None:
            self._leave_out(case.image, *case.masks, wrong=fact.problems[0].finding)
            return None
        if fact.image.dtype != self.dtype:
            self._leave_out(case.image, *case.masks, wrong=f"{fact.image.dtype} unlike the others")
            return None
        masks = tuple(self._masks(row, case, fact))
        if case.masks and not masks:
            self._leave_out(case.image, wrong="no usable mask")
            return None
        image, *channels = (self._image(file, row, place) for place, file in enumerate((case.image, *case.channels)))
        self._note(case.image, *_stored(case.image, fact.image.storage, image))
        split = self._split(row, case)
        return replace(case, id=self.names[row], image=image, channels=tuple(channels), masks=masks, split=split)

    def _split(self, row: int, case: Case) -> str | None:
        """The split of a case, of one that is in another split too train."""
        if row not in self.leaking or case.split == "train":
            return case.split
        self._note(case.image, _Mended(f"also in another split than {case.split}", "moved to train"))
        return "train"

    def _note(self, file: str, *mended: _Mended) -> None:
        self.changes += [Change(file, each.wrong, each.done) for each in mended]

    def _leave_out(self, *files: str, wrong: str) -> None:
        for file in files:
            self._note(file, _Mended(wrong, "left out"))

    def _image(self, locator: str, row: int, channel: int) -> str:
        pixels = read_image(locator)
        label = self.found.cases[row].label
        group = self.groups[label] if label and self.by_class else "images"
        name = self.names[row]
        if self.found.cases[row].channels:
            name += f"_{channel:04d}"
        plain = pixels.dtype in (np.uint8, np.uint16)
        ending = ending_of(pixels.shape[2]) if plain else ".tif"
        path = self.out / group / f"{name}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, pixels)
        return str(path)

    def _masks(self, row: int, case: Case, fact: CaseFacts) -> Iterator[str]:
        """Write the masks of a case that can be used."""
        problems = dict(zip(broken(case, fact), fact.problems, strict=True))
        for reader, (locator, mask) in enumerate(zip(case.masks, fact.masks, strict=True)):
            try:
                if mask is None:
                    raise problems[locator]
                index, mended = self._put_right(row, reader, locator, mask)
            except DataError as problem:
                self._leave_out(locator, wrong=problem.finding)
                continue
            path = self._mask_file(row, reader, case)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, index)
            self._note(locator, *mended)
            if Locator.parse(locator).path.stem != path.stem:
                self._note(locator, _Mended("its name is not that of its image", f"named {path.name}"))
            self._note(locator, *_stored(locator, mask.storage, str(path)))
            yield str(path)

    def _mask_file(self, row: int, reader: int, case: Case) -> Path:
        folder = self.out / "masks"
        if len(case.masks) > 1:
            folder /= f"reader_{reader}"
        return folder / f"{self.names[row]}.png"

    def _put_right(
        self, row: int, reader: int, locator: str, mask: MaskFacts
    ) -> tuple[UInt8[np.ndarray, "h w"], list[_Mended]]:
        """A mask as it should have been, and what was changed.

        Raises:
            DataError: that would be guessing.
        """
        fault = _fault(self.inspection, row, reader)
        if fault:
            raise fault
        meaning, mended = self.inspection.meaning, list[_Mended]()
        raw = read_mask(locator)
        index = meaning.apply(raw, row, reader)
        classes = (index * 255 if meaning.classes == 2 else index).astype(np.uint8)
        if not np.array_equal(classes, raw):
            text = meaning.rule.text if meaning.rule else ""
            stored = _few(np.unique(classes).tolist())
            mended.append(_Mended(f"values {_few(mask.values)}", f"stored as {stored}: {text}"))
        if (row, reader) in meaning.inverted:
            mended.append(_Mended("object and background had changed places", "put right"))
        image = self.inspection.facts[row].image
        assert image is not None
        fitted, changed = _fitted(classes, image.size, image.storage)
        return fitted, [*mended, *changed]


def _fitted(
    mask: UInt8[np.ndarray, "h w"], size: tuple[int, int], storage: Storage | None
) -> tuple[UInt8[np.ndarray, "height width"], list[_Mended]]:
    """The mask at the size of its image, turned as its image where that alone explains the difference."""
    if mask.shape == size:
        return mask, []
    if mask.shape == size[::-1]:
        assert storage is not None, "`_fault` has looked"
        quarters, diagonal = TURNS[storage.turned]
        turned = np.rot90(mask, quarters)
        if diagonal:
            turned = turned.T
        return np.ascontiguousarray(turned), [_Mended("not turned as its image", "turned")]
    wrong = f"size {_size(mask.shape)}, unlike its image"
    done = f"resized to {_size(size)} without new values"
    return resize(mask, size, nearest=True), [_Mended(wrong, done)]


def _size(shape: Sequence[int]) -> str:
    """Width x height in pixels."""
    return f"{shape[1]} x {shape[0]}"


def _stored(locator: str, storage: Storage | None, written: str) -> Iterator[_Mended]:
    """What was odd about the file itself, and what became of it in the file that was written."""
    if storage is None:
        return
    if not storage.ending:
        ending = Locator.parse(locator).path.suffix or "without ending"
        yield _Mended(f"{storage.format} named {ending}", "named as what it is")
    if storage.format != "PNG" and written.endswith(".png"):
        yield _Mended(f"stored as {storage.format}", "pixels written as PNG")
    if storage.turned > 1:
        yield _Mended(f"EXIF orientation {storage.turned}", "written turned")
    if storage.transparent:
        yield _Mended("transparency", "laid on black")
    if storage.private:
        yield _Mended(f"it tells: {', '.join(storage.private)}", "not written")


def _usual(names: Iterator[str]) -> str:
    """The most frequent one; "" of none."""
    counts = Counter(names)
    return counts.most_common(1)[0][0] if counts else ""


def _few(values: Iterable[int]) -> str:
    shown = sorted(values)
    first = ", ".join(map(str, shown[:_SHOWN]))
    return f"{first} ... {shown[-1]}" if len(shown) > _SHOWN else first
