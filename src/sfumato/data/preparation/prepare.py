"""Turn the cases of a source into a prepared data set (its form is told in `sfumato.data.dataset`).

Every file is decoded once, in chunks that worker processes take in turn (`preparation.chunk`), and measured there.
What mask values mean and which numbers are black and white needs all files: masks are written by what a sample of them
says, and read again in the rare case that the others disagree; images are kept as they were read until the chunks are
brought together (`sfumato.data.preparation.store`). The problems of all files are collected and told at once.

The folder is written beside its place and renamed when it is whole; a process that was killed is continued
(`sfumato.data.preparation.spool`).
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from sfumato.data.copies import find_copies
from sfumato.data.facts import spacing_of
from sfumato.data.formats.image import read_mask
from sfumato.data.inspection.fingerprint import fingerprint, modality_of
from sfumato.data.inspection.inspect import refusals
from sfumato.data.inspection.splits import find_in_splits
from sfumato.data.manifest import Case
from sfumato.data.mask import MaskRule, decide_mask_rule, named_mask_rule
from sfumato.data.preparation.chunk import (
    CASES_MEASURED,
    Chunk,
    ChunkResult,
    DecodedCase,
    Job,
    chunk_files,
    count_mask_values,
    cut_chunks,
    decode,
    decode_masks,
    is_whole,
    read_chunk,
)
from sfumato.data.preparation.describe import (
    Description,
    decide_spec,
    divide,
    kept_cases,
    spec_problems,
    write_description,
)
from sfumato.data.preparation.notes import notes_about
from sfumato.data.preparation.settings import PreparationSettings as PreparationSettings
from sfumato.data.preparation.spool import key_of, opened_spool, spool_folder
from sfumato.data.preparation.store import ArrayForm, Filling, create, fill_arrays, kept_chunks, require_space
from sfumato.data.sharpness import OriginalMask, rows_to_measure, sharpness
from sfumato.data.source import DiscoveredDataset
from sfumato.data.volumes import as_volume, by_volume
from sfumato.data.worker_pool import WorkerPool, processors
from sfumato.errors import DataError, UsageError, raise_together
from sfumato.shortage import shortages_told

CASES_SAMPLED = 32
"""Cases, spread over the set, whose masks say what values mean before all are read."""

WORTH_A_WORKER = 128
"""Cases that it takes to make up for the second in which a worker process starts."""


class _Prepared(NamedTuple):
    """Progress: `done` of `total` steps, the latest with the case `name`."""

    done: int
    total: int
    name: str


def prepare_cases(
    found: DiscoveredDataset, out: Path, settings: PreparationSettings, *, spool: Path | None = None
) -> Iterator[_Prepared]:
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
    _refuse_folder_and_settings(out, settings)
    out.parent.mkdir(parents=True, exist_ok=True)
    workers = settings.workers or max(1, min(processors(), len(found.cases) // WORTH_A_WORKER))
    how = (settings.canvas, *([settings.dimensions] if settings.dimensions == 3 else []))
    key = key_of(found.cases, (*how, found.has_masks, dict(found.mask_names), found.ignore))
    spool = spool or spool_folder(out)
    with opened_spool(spool, key) as place, shortages_told(spool.parent), WorkerPool(workers) as pool:
        work = _Work(found, settings, place, pool)
        yield from work.decode_all()
        folder = place / "whole"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        work.describe(folder)
        with suppress(FileNotFoundError):
            out.rmdir()  # where Windows renames, nothing may be, not even an empty folder
        folder.rename(out)


def _refuse_folder_and_settings(out: Path, settings: PreparationSettings) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        remedy = "choose another folder, or --overwrite"
        raise UsageError(f"{out} exists already", expected="a new or empty folder", remedy=remedy)
    refuse_impossible(settings)


def refuse_impossible(settings: PreparationSettings) -> None:
    """Refuse settings that nothing can be prepared with.

    Raises:
        UsageError: they are impossible, alone or together.
    """
    size, fractions, window = settings.size, settings.fractions, settings.window
    if size is not None and min(size) < 1:
        raise UsageError(f"the size {size[0]} x {size[1]} is impossible", expected="a height and width above 0")
    if size is None and (settings.keep_aspect or settings.crop):
        raise UsageError(
            "images that keep their own size are neither padded nor cut",
            remedy="leave out --keep-aspect and --crop, or give a size",
        )
    if min(fractions) < 0 or fractions[0] <= 0:
        raise UsageError(f"the split {fractions} is impossible", expected="shares of train (above 0), validation, test")
    if settings.dimensions == 3 and (size is not None or settings.keep_empty < 1):
        raise UsageError(
            "whole volumes have no common size, and all their planes",
            remedy="leave out --size and --keep-empty, or --dimensions 2",
        )
    if settings.keep_aspect + settings.crop + (settings.spacing is not None) > 1:
        raise UsageError("keep_aspect, crop and spacing are impossible together", expected="one of them")
    if window is not None and (not window[0] < window[1] or settings.intensity not in ("auto", "window")):
        finding = f"the window {window} is impossible with the intensity rule '{settings.intensity}'"
        raise UsageError(finding, expected="black below white, and the rule 'window'")
    if settings.folds == 1 or not 0 <= settings.fold <= max(0, settings.folds - 1):
        raise UsageError(
            f"fold {settings.fold} of {settings.folds} is impossible", expected="2 folds or more, counted from 0"
        )


class _Work:
    """One preparation on its way: what is read, where it goes, who works."""

    def __init__(self, found: DiscoveredDataset, settings: PreparationSettings, spool: Path, pool: WorkerPool) -> None:
        self.found, self.settings, self.spool, self.pool = found, settings, spool, pool
        self.chunks = cut_chunks(found.cases, dimensions=settings.dimensions)
        self.rule: MaskRule | None = None
        self.rows: list[tuple[DecodedCase, ...]] = []
        self.problems: list[DataError] = [*found.problems]
        self.known: dict[int, DecodedCase] = {}

    def decode_all(self) -> Iterator[_Prepared]:
        """Write all chunks, with masks by the right rule."""
        named = self._named_rule()
        every = max(1, len(self.found.cases) // CASES_MEASURED)
        dimensions = self.settings.dimensions
        first = Job(
            self.spool, self.settings.canvas, named or self._sampled_rule(), named is not None, every, dimensions
        )
        whole = [chunk for chunk in self.chunks if is_whole(chunk_files(self.spool, chunk.number, None))]
        total, done = len(self.found.cases), 0
        for chunk in whole:
            done += len(chunk.cases)
            yield _Prepared(done, total, chunk.cases[-1].id)
        reused = {chunk.number for chunk in whole}
        rest = [chunk for chunk in self.chunks if chunk.number not in reused]
        yield from self._each(decode, first, rest, done=done, total=total)
        self._read_whole()
        self.rule = named or self._rule_of_all()
        self._refuse()
        self.rows = [tuple(self.known[chunk.first + k] for k in range(len(chunk.cases))) for chunk in self.chunks]
        if self.rule is not None:
            last = Job(self.spool, self.settings.canvas, self.rule, certain=True, dimensions=dimensions)
            masks = [chunk_files(self.spool, chunk.number, self.rule).masks for chunk in self.chunks]
            rest = [chunk for chunk, file in zip(self.chunks, masks, strict=True) if file and not file.exists()]
            again = sum(len(chunk.cases) for chunk in rest)
            yield from self._each(decode_masks, last, rest, done=total, total=total + again)
            raise_together(self.problems)

    def _each(self, function: Any, job: Job, chunks: Sequence[Chunk], *, done: int, total: int) -> Iterator[_Prepared]:
        """Work on chunks, and keep what is wrong with them, in their order."""
        answers: dict[int, ChunkResult] = {}
        for chunk, answer in self.pool.each(function, job, chunks):
            if not answers and function is decode and not answer.problems:
                files = chunk_files(self.spool, chunk.number, job.rule)
                require_space(self.spool, files, share=len(chunk.cases) / total)
            answers[chunk.number] = answer
            self.known.update(answer.known)
            for case in chunk.cases:
                done += 1
                yield _Prepared(done, total, case.id)
        self.problems += [problem for _, answer in sorted(answers.items()) for problem in answer.problems]

    def _read_whole(self) -> None:
        """What is known of the cases of chunks that are whole."""
        for chunk in self.chunks:
            facts = chunk_files(self.spool, chunk.number, None).facts
            if facts.exists():
                self.known.update(enumerate(read_chunk(facts).rows, chunk.first))

    def _refuse(self) -> None:
        """Raise all problems at once, also those that show only where the cases stand side by side, as in `check`.

        Raises:
            DataError: there are some.
        """
        rows = [self.known[row] for row in sorted(self.known)]
        if not self.problems:
            scaled = self.settings.intensity != "auto" or self.settings.window is not None
            raise_together([*refusals(self.found, [row.facts for row in rows], scaled=scaled)])
            return
        cases = [replace(self.found.cases[row], split="train") for row in sorted(self.known)]
        guess = modality_of(self.found, [row.facts for row in rows]).modality
        others = spec_problems(rows, cases, self.settings, guess=guess) if rows else []
        raise_together([*self.problems, *others])

    def _named_rule(self) -> MaskRule | None:
        if not self.found.has_masks or not self.found.mask_names:
            return None
        return named_mask_rule(self.found.mask_names, self.found.ignore, said=self.found.names_are_said)

    def _sampled_rule(self) -> MaskRule | None:
        """What mask values mean in a sample; None where that cannot be told yet."""
        step = max(1, len(self.found.cases) // CASES_SAMPLED)
        masks = [case.masks for case in self.found.cases[::step]]
        counts: Counter[int] = Counter()
        for _, values in self.pool.each(count_mask_values, None, masks):
            counts.update(values)
        try:
            return decide_mask_rule(counts, ignore=self.found.ignore) if counts else None
        except DataError:
            return None

    def _rule_of_all(self) -> MaskRule | None:
        """What mask values mean; None without masks, or where that is a problem."""
        if not self.found.has_masks or not self.known:
            return None
        counts: Counter[int] = Counter()
        richest, most = "", 0
        for number, row in sorted(self.known.items()):
            for locator, mask in zip(self.found.cases[number].masks, row.facts.masks, strict=True):
                assert mask is not None
                counts.update(mask.values)
                richest, most = (locator, len(mask.values)) if len(mask.values) > most else (richest, most)
        try:
            return decide_mask_rule(counts, ignore=self.found.ignore)
        except DataError as error:
            error.finding += f"; the most are in {richest} ({most})"
            self.problems.append(error)
            return None

    def _flat(self) -> list[DecodedCase]:
        return [row for rows in self.rows for row in rows]

    def describe(self, folder: Path) -> None:
        """Write arrays, table and description."""
        kept = kept_cases(self.found.cases, self._flat(), self.rule, self.settings)
        rows = [row for row, keep in zip(self._flat(), kept, strict=True) if keep]
        found = self.found._replace(
            cases=tuple(case for case, keep in zip(self.found.cases, kept, strict=True) if keep)
        )
        facts = [row.facts for row in rows]
        copies = find_copies(found.cases, facts)
        if not self.settings.keep_split:
            torn = [finding for finding in find_in_splits(found, copies) if finding.code == "DATA-081"]
            raise_together([finding.as_error() for finding in torn])
        described = fingerprint(found, facts, copies=copies, as_stored=True)
        division = divide(found, facts, copies, self.rule, self.settings)
        spec = decide_spec(found, rows, division.cases, self.rule, self.settings, guess=described["modality"])
        form = ArrayForm(spec.canvas, spec.channels, str(spec.stored_dtype), spec.intensity, self.rule, spec.readers)
        chunks, stored = self._stored()
        sizes = [form.size(row) for row, keep in zip(chain.from_iterable(stored), kept, strict=False) if keep]
        filling = Filling(self.spool, form, create(folder, sizes, form))
        for _ in self.pool.each(fill_arrays, filling, kept_chunks(chunks, stored, kept, form)):
            pass
        resized = self.settings.size is not None or isinstance(self.settings.spacing, float)
        sharp = next(iter(sharpness(self._originals(found.cases), [self.settings.canvas])), None) if resized else None
        notes = [
            *found.notes,
            *division.notes,
            *notes_about(spec, division.cases, facts, copies, left_out=kept.count(False)),
        ]
        if sharp is not None and sharp.dice < 1:
            notes.append(sharp.sentence)
        write_description(folder, Description(spec, division, facts, notes, described, found.reading, sharp))

    def _stored(self) -> tuple[list[Chunk], list[tuple[DecodedCase, ...]]]:
        """The chunks and what is known of their cases, as they lie in the arrays: of a volume its first plane."""
        if self.settings.dimensions == 2:
            return self.chunks, self.rows
        chunks, rows, first = list[Chunk](), list[tuple[DecodedCase, ...]](), 0
        for chunk, known in zip(self.chunks, self.rows, strict=True):
            volumes, left = by_volume(chunk.cases), iter(known)
            runs = [list(islice(left, len(planes))) for planes in volumes]
            chunks.append(Chunk(chunk.number, first, tuple(map(as_volume, volumes))))
            rows.append(tuple(run[0]._replace(planes=len(run)) for run in runs))
            first += len(volumes)
        return chunks, rows

    def _originals(self, cases: Sequence[Case]) -> Iterator[OriginalMask]:
        """Masks spread over the set, as classes at their own sizes."""
        if self.rule is None:
            return
        for case in (cases[row] for row in rows_to_measure(cases)):
            spacing = spacing_of(case.image) if self.settings.spacing is not None else None
            yield OriginalMask(self.rule.apply(read_mask(case.masks[0])), spacing)
