"""Turn the cases of a source into a prepared data set (its form is told in `sfumato.data.pack`).

Two passes: the masks are read for their values, so that what values mean is decided over all of them; then images and
masks are decoded, brought to the model's size and written. The problems of all files are collected and told at once.
The folder is written beside its place and renamed when it is whole.
"""

import errno
import json
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from sfumato.data.image import read_image, read_mask
from sfumato.data.manifest import Case, split_cases, split_notes, write_manifest
from sfumato.data.mask import MaskRule, count_values, decide_mask_rule
from sfumato.data.placement import fit
from sfumato.data.source import Found
from sfumato.data.spec import Spec, decide_intensity
from sfumato.data.store import Decoded, Facts, Store, disk_full
from sfumato.errors import DataError, UsageError, raise_together

FORMAT = 1
"""Version of the folder's form; readers refuse a newer one."""


class Prepared(NamedTuple):
    """Progress: `done` of `total` steps, the latest with the case `name`."""

    done: int
    total: int
    name: str


def prepare(
    found: Found,
    out: Path,
    *,
    size: tuple[int, int],
    keep_aspect: bool = False,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
) -> Iterator[Prepared]:
    """Decode all cases once into the folder `out`; iterate to the end to do it.

    Args:
        found: the cases.
        out: a folder that does not exist yet or is empty.
        size: height and width of the model's canvas.
        keep_aspect: fit images undistorted, with a black margin.
        fractions: shares of train, validation and test where the source has no split of its own.
        seed: of the split.

    Yields:
        Progress, after each case.

    Raises:
        DataError: files that cannot be used; all are listed, and nothing is written.
        UsageError: `out` is not empty, or the size or the fractions are impossible.
        ResourceError: the disk is full.
    """
    _refuse_impossible(out, size, fractions)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _staged(out) as folder:
        problems: list[DataError] = []
        rule = yield from _mask_rule(found, problems)
        progress = _Progress(len(found.cases) * (2 if found.kind == "segment" else 1))
        progress.done = progress.total - len(found.cases)
        readers = max(len(case.masks) for case in found.cases)
        with closing(Store(folder, len(found.cases), size, readers)) as store:
            for case in found.cases:
                try:
                    store.add(_decoded(case, size, rule, keep_aspect=keep_aspect))
                except DataError as problem:
                    problems.append(problem)
                yield progress.step(case.id)
        raise_together(problems)
        _describe(folder, found, store, rule, keep_aspect=keep_aspect, fractions=fractions, seed=seed)


def _refuse_impossible(out: Path, size: tuple[int, int], fractions: tuple[float, float, float]) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        remedy = "choose another folder, or --overwrite"
        raise UsageError(f"{out} exists already", expected="a new or empty folder", remedy=remedy)
    if min(size) < 1:
        raise UsageError(f"the size {size[0]} x {size[1]} is impossible", expected="a height and width above 0")
    if min(fractions) < 0 or fractions[0] <= 0:
        raise UsageError(f"the split {fractions} is impossible", expected="shares of train (above 0), validation, test")


@contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its name when all went well, and is gone otherwise."""
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o755)
        folder.rename(out)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise disk_full(out, 0) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@dataclass
class _Progress:
    total: int
    done: int = 0

    def step(self, name: str) -> Prepared:
        self.done += 1
        return Prepared(self.done, self.total, name)


def _mask_rule(found: Found, problems: list[DataError]) -> Generator[Prepared, None, MaskRule | None]:
    """What mask values mean, over all masks. Unreadable ones are met again, and reported, by the second pass."""
    if found.kind == "generate":
        return None
    counts: Counter[int] = Counter()
    richest, most = "", 0
    progress = _Progress(2 * len(found.cases))
    for case in found.cases:
        for locator in case.masks:
            try:
                values = count_values(read_mask(locator))
            except DataError:
                continue
            counts.update(values)
            richest, most = (locator, len(values)) if len(values) > most else (richest, most)
        yield progress.step(case.id)
    try:
        return decide_mask_rule(counts) if counts else None
    except DataError as error:
        error.finding += f"; the most are in {richest} ({most})"
        problems.append(error)
        return None


def _decoded(case: Case, size: tuple[int, int], rule: MaskRule | None, *, keep_aspect: bool) -> Decoded:
    original = read_image(case.image)
    image, _ = fit(original, size, keep_aspect=keep_aspect, nearest=False)
    masks = []
    for locator in case.masks:
        raw = read_mask(locator)
        if raw.shape != original.shape[:2]:
            raise _other_size(case.image, original.shape, locator, raw.shape)
        if rule is not None:
            mask, _ = fit(rule.apply(raw), size, keep_aspect=keep_aspect, nearest=True)
            masks.append(mask.astype(np.uint8))
    return Decoded(case, image, masks, original)


def _other_size(image: str, image_shape: tuple[int, ...], mask: str, mask_shape: tuple[int, ...]) -> DataError:
    return DataError(
        f"{mask} is {mask_shape[1]} x {mask_shape[0]} (width x height), "
        f"its image {image} is {image_shape[1]} x {image_shape[0]}",
        expected="a mask of the size of its image",
        remedy="export the mask again at the size of its image",
        code="DATA-012",
    )


def _describe(
    folder: Path,
    found: Found,
    store: Store,
    rule: MaskRule | None,
    *,
    keep_aspect: bool,
    fractions: tuple[float, float, float],
    seed: int,
) -> None:
    """Write the table and the description of arrays that are whole."""
    facts = store.facts
    if len(facts.dtypes) > 1:
        kinds = "\n".join(f"    {len(names)} are {dtype}, such as {names[0]}" for dtype, names in facts.dtypes.items())
        finding = f"the images have different kinds of numbers:\n{kinds}"
        raise DataError(finding, expected="all 8 bit or all 16 bit", remedy="convert the fewer ones", code="DATA-009")
    cases = split_cases(found.cases, fractions=fractions, seed=seed, groups=facts.digests)
    images: Shaped[np.ndarray, "n h w c"] = np.load(store.images, mmap_mode="r")
    train = [row for row, case in enumerate(cases) if case.split == "train"]
    spec = Spec(
        kind=found.kind,
        size=store.size,
        channels=store.channels,
        dtype=str(store.dtype),
        intensity=decide_intensity(images, train),
        keep_aspect=keep_aspect,
        classes=found.classes,
        mask_classes=_mask_classes(rule),
        mask_rule=rule,
        readers=store.readers,
    )
    notes = [*found.notes, *split_notes(found.cases, cases), *_notes(spec, cases, facts)]
    extra = {"height": [height for height, _ in facts.sizes], "width": [width for _, width in facts.sizes]}
    write_manifest(folder / "manifest.csv", cases, extra=extra)
    entry = {"format": FORMAT, "spec": spec.to_dict(), "cases": len(cases), "notes": notes}
    (folder / "dataset.json").write_text(json.dumps(entry, indent=1), encoding="utf-8")


def _mask_classes(rule: MaskRule | None) -> tuple[str, ...]:
    if rule is None:
        return ()
    if rule.classes == 2:
        return ("background", "foreground")
    return ("background", *(f"class {value}" for value in rule.values[1:]))


def _notes(spec: Spec, cases: Sequence[Case], facts: Facts) -> Iterator[str]:
    """What a person should know about the prepared set."""
    if spec.mask_rule:
        yield spec.mask_rule.text
    yield spec.intensity.text
    sizes = Counter(facts.sizes)
    if len(sizes) > 1:
        smallest, largest = min(sizes), max(sizes)
        fitted = "undistorted, with a margin" if spec.keep_aspect else "stretched"
        yield (
            f"images have {len(sizes)} sizes, from {smallest[1]} x {smallest[0]} to {largest[1]} x {largest[0]}: "
            f"resized to {spec.size[1]} x {spec.size[0]}, {fitted}"
        )
    if 0 < facts.coloured < len(cases):
        yield f"{facts.coloured} of {len(cases)} images have colours: all are stored as RGB"
    if facts.constant:
        yield f"images with one value everywhere: {facts.constant}"
    if facts.empty:
        yield f"empty masks: {facts.empty}"
    if spec.mask_rule and facts.foreground > 0.8 * len(cases):
        yield f"{facts.foreground / len(cases):.0%} of all mask pixels are foreground: is the mask inverted?"
    yield from _copies(cases, facts.digests)


def _copies(cases: Sequence[Case], digests: Sequence[str]) -> Iterator[str]:
    splits: dict[str, list[str]] = defaultdict(list)
    for case, digest in zip(cases, digests, strict=True):
        if digest:
            splits[digest].append(case.split or "")
    copied = [names for names in splits.values() if len(names) > 1]
    if copied:
        yield f"pictures that occur more than once: {len(copied)} (in {sum(map(len, copied))} cases)"
    if leaks := sum(len(set(names)) > 1 for names in copied):
        yield f"warning: pictures that the source has in more than one split: {leaks}; scores will be too good"
