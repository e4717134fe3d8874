"""Turn the cases of a source into a prepared data set (its form is told in `sfumato.data.pack`).

Every file is decoded once, in chunks that worker processes take in turn (`preparation.chunk`), and measured there.
What mask values mean and which numbers are black and white needs all files: masks are written by what a sample of them
says, and read again in the rare case that the others disagree; images are kept as they were read until the chunks are
brought together (`sfumato.data.preparation.store`). The problems of all files are collected and told at once.

The folder is written beside its place and renamed when it is whole; a process that was killed is continued
(`sfumato.data.preparation.spool`).
"""

import errno
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sfumato.data.copies import Copies, find_copies
from sfumato.data.facts import CaseFacts, ImageFacts
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.volume import named_place
from sfumato.data.inspection.fingerprint import fingerprint
from sfumato.data.intensity import Intensity, decide_intensity
from sfumato.data.manifest import Case, write_manifest
from sfumato.data.mask import MaskRule, decide_mask_rule, named_mask_rule
from sfumato.data.placement import Canvas
from sfumato.data.preparation.chunk import (
    Chunk,
    Job,
    Row,
    chunk_files,
    count_mask_values,
    cut,
    decode,
    decode_masks,
    is_whole,
    read_facts,
)
from sfumato.data.preparation.crew import Crew, processors
from sfumato.data.preparation.notes import notes_about
from sfumato.data.preparation.spool import key_of, opened_spool, spool_folder
from sfumato.data.preparation.store import FORMAT, Filling, Form, create, disk_full, fill, parts_of, require_space
from sfumato.data.source import Found
from sfumato.data.spec import Spec
from sfumato.data.split import Fold, as_fold, follow, split_cases, split_into_folds, split_notes, splits_final
from sfumato.diffusion.process import derive_seed
from sfumato.errors import DataError, UsageError, raise_together

SAMPLE = 32
"""Cases, spread over the set, whose masks say what values mean before all are read."""

WORTH_A_WORKER = 128
"""Cases that it takes to make up for the second in which a worker process starts."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a source is prepared.

    Attributes:
        size: height and width of the model's canvas in pixels.
        keep_aspect: fit images in undistorted, with a dark margin.
        crop: fill the canvas with the centre of each image, undistorted.
        spacing: millimetres per pixel to bring images to, before they are padded or cut; for sources that have one.
        intensity: which numbers become black and white; see `sfumato.data.intensity`.
        window: black and white in stored numbers, for the rule `window`.
        modality: "ct", "mr", "xray" ...; None: what the source says, or a guess.
        keep_empty: share of the slices without foreground that are kept, of volumes with masks.
        fractions: shares of train, validation and test where the source has no split of its own.
        seed: of the split.
        folds: number of folds for cross-validation; 0 for a single division.
        fold: the fold to validate on.
        workers: processes; None for as many as there are processors and work for.
    """

    size: tuple[int, int]
    keep_aspect: bool = False
    crop: bool = False
    spacing: float | None = None
    intensity: Literal["auto", "unit", "window", "percentile", "zscore"] = "auto"
    window: tuple[float, float] | None = None
    modality: str | None = None
    keep_empty: float = 1.0
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    seed: int = 0
    folds: int = 0
    fold: int = 0
    workers: int | None = None

    @property
    def canvas(self) -> Canvas:
        """How images get to the model's size."""
        return Canvas(self.size, self.keep_aspect, self.crop, self.spacing)


class Prepared(NamedTuple):
    """Progress: `done` of `total` steps, the latest with the case `name`."""

    done: int
    total: int
    name: str


def prepare(found: Found, out: Path, settings: Settings, *, spool: Path | None = None) -> Iterator[Prepared]:
    """Decode all cases once into the folder `out`; iterate to the end to do it.

    Args:
        found: the cases.
        out: a folder that does not exist yet or is empty.
        settings: how.
        spool: where finished parts wait, on the disk of `out`; beside it when not given.

    Yields:
        Progress, after each case.

    Raises:
        DataError: files that cannot be used; all are listed, and nothing is written.
        UsageError: `out` is not empty, the settings are impossible, or another process prepares into `out`.
        ResourceError: the disk is full, or memory is.
    """
    _refuse_impossible(out, settings)
    out.parent.mkdir(parents=True, exist_ok=True)
    workers = settings.workers or max(1, min(processors(), len(found.cases) // WORTH_A_WORKER))
    key = key_of(found.cases, (settings.canvas, found.kind, dict(found.mask_names), found.ignore))
    with opened_spool(spool or spool_folder(out), key) as place, _told(out), Crew(workers) as crew:
        work = _Work(found, settings, place, crew)
        yield from work.decode_all()
        folder = place / "whole"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        work.describe(folder)
        folder.rename(out)


def _refuse_impossible(out: Path, settings: Settings) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        remedy = "choose another folder, or --overwrite"
        raise UsageError(f"{out} exists already", expected="a new or empty folder", remedy=remedy)
    size, fractions, window = settings.size, settings.fractions, settings.window
    if min(size) < 1:
        raise UsageError(f"the size {size[0]} x {size[1]} is impossible", expected="a height and width above 0")
    if min(fractions) < 0 or fractions[0] <= 0:
        raise UsageError(f"the split {fractions} is impossible", expected="shares of train (above 0), validation, test")
    if settings.keep_aspect + settings.crop + (settings.spacing is not None) > 1:
        raise UsageError("keep_aspect, crop and spacing are impossible together", expected="one of them")
    if window is not None and (not window[0] < window[1] or settings.intensity not in ("auto", "window")):
        finding = f"the window {window} is impossible with the intensity rule '{settings.intensity}'"
        raise UsageError(finding, expected="black below white, and the rule 'window'")
    if settings.folds == 1 or not 0 <= settings.fold <= max(0, settings.folds - 1):
        raise UsageError(
            f"fold {settings.fold} of {settings.folds} is impossible", expected="2 folds or more, counted from 0"
        )


@contextmanager
def _told(out: Path) -> Iterator[None]:
    """A full disk as an error for the person."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise disk_full(out, 0) from error


class _Work:
    """One preparation on its way: what is read, where it goes, who works."""

    def __init__(self, found: Found, settings: Settings, spool: Path, crew: Crew) -> None:
        self.found, self.settings, self.spool, self.crew = found, settings, spool, crew
        self.chunks = cut(found.cases)
        self.rule: MaskRule | None = None
        self.rows: list[tuple[Row, ...]] = []

    def decode_all(self) -> Iterator[Prepared]:
        """Write all chunks, with masks by the right rule."""
        named = self._named_rule()
        first = Job(self.spool, self.settings.canvas, named or self._sampled_rule(), named is not None)
        whole = [chunk for chunk in self.chunks if is_whole(chunk_files(self.spool, chunk.number, None))]
        total, done = len(self.found.cases), 0
        for chunk in whole:
            done += len(chunk.cases)
            yield Prepared(done, total, chunk.cases[-1].id)
        reused = {chunk.number for chunk in whole}
        rest = [chunk for chunk in self.chunks if chunk.number not in reused]
        yield from self._each(decode, first, rest, done=done, total=total)
        self.rows = [read_facts(chunk_files(self.spool, chunk.number, None).facts).rows for chunk in self.chunks]
        self.rule = named or self._rule_of_all()
        if self.rule is not None:
            last = Job(self.spool, self.settings.canvas, self.rule, certain=True)
            masks = [chunk_files(self.spool, chunk.number, self.rule).masks for chunk in self.chunks]
            rest = [chunk for chunk, file in zip(self.chunks, masks, strict=True) if file and not file.exists()]
            again = sum(len(chunk.cases) for chunk in rest)
            yield from self._each(decode_masks, last, rest, done=total, total=total + again)

    def _each(self, function: Any, job: Job, chunks: Sequence[Chunk], *, done: int, total: int) -> Iterator[Prepared]:
        problems: dict[int, list[DataError]] = {}
        for chunk, answer in self.crew.each(function, job, chunks):
            if not problems and function is decode and not answer:
                files = chunk_files(self.spool, chunk.number, job.rule)
                require_space(self.spool, files, share=len(chunk.cases) / total)
            problems[chunk.number] = answer
            for case in chunk.cases:
                done += 1
                yield Prepared(done, total, case.id)
        raise_together([problem for _, answer in sorted(problems.items()) for problem in answer])

    def _named_rule(self) -> MaskRule | None:
        if self.found.kind == "generate" or not self.found.mask_names:
            return None
        return named_mask_rule(self.found.mask_names, self.found.ignore)

    def _sampled_rule(self) -> MaskRule | None:
        """What mask values mean in a sample; None where that cannot be told yet."""
        step = max(1, len(self.found.cases) // SAMPLE)
        masks = [case.masks for case in self.found.cases[::step]]
        counts: Counter[int] = Counter()
        for _, values in self.crew.each(_count, None, masks):
            counts.update(values)
        try:
            return decide_mask_rule(counts, ignore=self.found.ignore) if counts else None
        except DataError:
            return None

    def _rule_of_all(self) -> MaskRule | None:
        if self.found.kind == "generate":
            return None
        counts: Counter[int] = Counter()
        richest, most = "", 0
        for case, row in zip(self.found.cases, self._flat(), strict=True):
            for locator, mask in zip(case.masks, row.facts.masks, strict=True):
                assert mask is not None
                counts.update(mask.values)
                richest, most = (locator, len(mask.values)) if len(mask.values) > most else (richest, most)
        try:
            return decide_mask_rule(counts, ignore=self.found.ignore)
        except DataError as error:
            error.finding += f"; the most are in {richest} ({most})"
            raise

    def _flat(self) -> list[Row]:
        return [row for rows in self.rows for row in rows]

    def describe(self, folder: Path) -> None:
        """Write arrays, table and description."""
        kept = _kept(self.found.cases, self._flat(), self.rule, self.settings)
        rows = [row for row, keep in zip(self._flat(), kept, strict=True) if keep]
        found = self.found._replace(
            cases=tuple(case for case, keep in zip(self.found.cases, kept, strict=True) if keep)
        )
        facts = [row.facts for row in rows]
        copies = find_copies(found.cases, facts)
        described = fingerprint(found, facts, copies=copies)
        division = _divided(found, facts, copies, self.rule, self.settings)
        spec = _spec(found, rows, division.cases, self.rule, self.settings, guess=described["modality"])
        form = Form(spec.size, spec.channels, str(spec.stored_dtype), spec.intensity, self.rule, spec.readers)
        filling = Filling(self.spool, form, create(folder, len(rows), form))
        for _ in self.crew.each(fill, filling, parts_of(self.chunks, self.rows, kept)):
            pass
        notes = [
            *found.notes,
            *division.notes,
            *notes_about(spec, division.cases, facts, copies, left_out=kept.count(False)),
        ]
        _write(folder, spec, division, facts, notes, described)


def _count(_: None, masks: tuple[str, ...]) -> Mapping[int, int]:
    return count_mask_values(masks)


def _kept(cases: Sequence[Case], rows: Sequence[Row], rule: MaskRule | None, settings: Settings) -> list[bool]:
    """Which cases stay: of the slices without foreground, the share asked for, chosen by a hash of their ids.

    Raises:
        DataError: none would stay.
    """
    if rule is None or settings.keep_empty >= 1:
        return [True] * len(cases)
    limit = settings.keep_empty * 2**63
    kept = [
        case.volume is None or _shows_object(row.facts, rule) or derive_seed("empty slice", case.id) < limit
        for case, row in zip(cases, rows, strict=True)
    ]
    if not any(kept):
        raise DataError(
            "no slice has any foreground, and slices without are to be left out",
            expected="masks with foreground",
            remedy="keep more of the slices without foreground",
            code="DATA-027",
        )
    return kept


def _shows_object(facts: CaseFacts, rule: MaskRule) -> bool:
    return any(rule.shows_object(mask.values) for mask in facts.masks if mask is not None)


class _Division(NamedTuple):
    """The cases with their splits, the folds, and what a person should know about both."""

    cases: list[Case]
    folds: tuple[Fold, ...]
    notes: tuple[str, ...]


def _divided(
    found: Found, facts: Sequence[CaseFacts], copies: Copies, rule: MaskRule | None, settings: Settings
) -> _Division:
    together = [*copies.exact, *copies.near]
    strata = None
    if rule is not None and not found.classes:  # words whose smaller one stands for a volume with both
        strata = ["foreground" if _shows_object(fact, rule) else "none" for fact in facts]
    cases: Sequence[Case] = found.cases
    if found.folds:
        cases = follow(cases, found.folds, settings.fold)
    elif settings.folds:
        cases, folds = split_into_folds(
            cases,
            count=settings.folds,
            fold=settings.fold,
            test=settings.fractions[2] / sum(settings.fractions),
            seed=settings.seed,
            together=together,
            strata=strata,
        )
        return _Division(cases, folds, (f"{settings.folds} folds: validation is fold {settings.fold}",))
    divided = split_cases(cases, fractions=settings.fractions, seed=settings.seed, together=together, strata=strata)
    notes = split_notes(cases, divided)
    if found.folds:
        notes = (f"the folds of the source were kept: validation is fold {settings.fold}", *notes)
    return _Division(divided, found.folds or (as_fold(divided),), notes)


def _spec(
    found: Found, rows: Sequence[Row], cases: Sequence[Case], rule: MaskRule | None, settings: Settings, *, guess: str
) -> Spec:
    """What a model must know; intensities are decided on the training cases alone."""
    images = [_image(row) for row in rows]
    train = [image for image, case in zip(images, cases, strict=True) if case.split == "train"]
    modality = settings.modality if settings.modality not in (None, "auto") else guess
    intensity = decide_intensity(train, kind=settings.intensity, window=settings.window, modality=modality)
    _refuse_mixed(cases, images, intensity)
    cut = next((place for case in cases if (place := named_place(Locator.parse(case.image).member))), None)
    return Spec(
        kind=found.kind,
        size=settings.size,
        channels=_channels(cases, rows),
        dtype=Counter(image.dtype for image in images).most_common(1)[0][0],
        intensity=intensity,
        modality=None if modality == "unknown" else modality,
        keep_aspect=settings.keep_aspect,
        crop=settings.crop,
        spacing=settings.spacing,
        classes=found.classes,
        mask_classes=_mask_classes(rule, found.mask_names),
        mask_rule=rule,
        ignore=rule is not None and rule.ignore is not None,
        readers=max(len(case.masks) for case in cases),
        slice_axis=cut and cut.axis,
        component=cut and cut.component,
    )


def _image(row: Row) -> ImageFacts:
    assert row.facts.image is not None
    return row.facts.image


def _refuse_mixed(cases: Sequence[Case], images: Sequence[ImageFacts], intensity: Intensity) -> None:
    """Numbers that do not mean the same must not get the same window."""
    names: dict[str, list[str]] = {}
    for case, image in zip(cases, images, strict=True):
        names.setdefault(image.dtype, []).append(case.image)
    alike = intensity.kind in ("percentile", "zscore") or (intensity.kind == "window" and "uint8" not in names)
    if len(names) == 1 or alike:
        return
    kinds = "\n".join(f"    {len(files)} are {dtype}, such as {files[0]}" for dtype, files in names.items())
    raise DataError(
        f"the images have different kinds of numbers:\n{kinds}",
        expected="all 8 bit or all 16 bit",
        remedy="convert the fewer ones, or take the intensity rule 'percentile'",
        code="DATA-009",
    )


def _channels(cases: Sequence[Case], rows: Sequence[Row]) -> int:
    counts: dict[int, str] = {}
    for case, row in zip(cases, rows, strict=True):
        counts.setdefault(row.channels, case.image)
    if len(counts) > 1 and set(counts) != {1, 3}:
        listed = ", ".join(f"{count} such as {name}" for count, name in sorted(counts.items()))
        raise DataError(
            f"the images have different numbers of channels: {listed}",
            expected="one number of channels, or grey and RGB",
            code="DATA-009",
        )
    return max(counts)


def _mask_classes(rule: MaskRule | None, names: Mapping[int, str]) -> tuple[str, ...]:
    if rule is None:
        return ()
    if names:
        return tuple(names.get(value, "background") for value in rule.values)
    if rule.classes == 2:
        return ("background", "foreground")
    return ("background", *(f"class {value}" for value in rule.values[1:]))


def _write(
    folder: Path,
    spec: Spec,
    division: _Division,
    facts: Sequence[CaseFacts],
    notes: Sequence[str],
    described: Mapping[str, Any],
) -> None:
    images = [fact.image for fact in facts if fact.image is not None]
    extra: dict[str, list[Any]] = {
        "height": [image.size[0] for image in images],
        "width": [image.size[1] for image in images],
    }
    if any(image.spacing for image in images):
        extra["row_mm"] = [image.spacing[0] if image.spacing else "" for image in images]
        extra["column_mm"] = [image.spacing[1] if image.spacing else "" for image in images]
    write_manifest(folder / "manifest.csv", division.cases, extra=extra)
    entry = {"format": FORMAT, "spec": spec.to_dict(), "cases": len(division.cases), "notes": list(notes)}
    for name, content in (
        ("dataset.json", entry),
        ("splits_final.json", splits_final(division.folds)),
        ("fingerprint.json", described),
    ):
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
