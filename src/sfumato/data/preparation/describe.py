"""What a prepared data set is like: which cases stay, their splits, what a model must know, and the files that say so.

Nothing here reads a picture: all is decided by the facts of the cases.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sfumato.data.channels import channels_within
from sfumato.data.copies import Copies
from sfumato.data.facts import CaseFacts, ImageFacts
from sfumato.data.folds import SPLITS_NAME, Fold, follow, write_splits
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.volume import named_place
from sfumato.data.intensity import Intensity, decide_intensity
from sfumato.data.manifest import Case, write_manifest
from sfumato.data.mask import MaskRule, class_names
from sfumato.data.preparation.chunk import DecodedCase
from sfumato.data.preparation.settings import PreparationSettings
from sfumato.data.preparation.store import FORMAT, RAGGED_FORMAT
from sfumato.data.sharpness import Sharpness
from sfumato.data.source import DiscoveredDataset
from sfumato.data.spec import Spec
from sfumato.data.split import as_fold, split_cases, split_into_folds, split_notes
from sfumato.errors import DataError, collected, raise_together
from sfumato.randomness import derive_seed


def kept_cases(
    cases: Sequence[Case], rows: Sequence[DecodedCase], rule: MaskRule | None, settings: PreparationSettings
) -> list[bool]:
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


class Division(NamedTuple):
    """The cases with their splits, the folds, and what a person should know about both."""

    cases: list[Case]
    folds: tuple[Fold, ...]
    notes: tuple[str, ...]


def divide(
    found: DiscoveredDataset,
    facts: Sequence[CaseFacts],
    copies: Copies,
    rule: MaskRule | None,
    settings: PreparationSettings,
) -> Division:
    """Splits as the source has them, or made by the settings; copies and patients stay together."""
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
        return Division(cases, folds, (f"{settings.folds} folds: validation is fold {settings.fold}",))
    divided = split_cases(cases, fractions=settings.fractions, seed=settings.seed, together=together, strata=strata)
    notes = split_notes(cases, divided)
    if found.folds:
        notes = (f"the folds of the source were kept: validation is fold {settings.fold}", *notes)
    return Division(divided, found.folds or (as_fold(divided),), notes)


def spec_problems(
    rows: Sequence[DecodedCase], cases: Sequence[Case], settings: PreparationSettings, *, guess: str
) -> list[DataError]:
    """All that keeps images from being one set: numbers or channels of several kinds, or no rule for intensities."""
    problems = list[DataError]()
    with collected(problems):
        intensity = _intensity(rows, cases, settings, guess=guess)
        _refuse_mixed(cases, list(map(_image, rows)), intensity)
    with collected(problems):
        _channels(cases, rows, grey=settings.grey)
    return problems


def _intensity(
    rows: Sequence[DecodedCase], cases: Sequence[Case], settings: PreparationSettings, *, guess: str
) -> Intensity:
    """How stored numbers become those that are trained on, decided on the training cases alone."""
    train = [_image(row) for row, case in zip(rows, cases, strict=True) if case.split == "train"]
    modality = _modality(settings, guess)
    return decide_intensity(train, kind=settings.intensity, window=settings.window, modality=modality)


def _modality(settings: PreparationSettings, guess: str) -> str:
    return guess if settings.modality in (None, "auto") else str(settings.modality)


def decide_spec(
    found: DiscoveredDataset,
    rows: Sequence[DecodedCase],
    cases: Sequence[Case],
    rule: MaskRule | None,
    settings: PreparationSettings,
    *,
    guess: str,
) -> Spec:
    """What a model must know; intensities are decided on the training cases alone."""
    raise_together(spec_problems(rows, cases, settings, guess=guess))
    images, modality = [_image(row) for row in rows], _modality(settings, guess)
    cut = next((place for case in cases if (place := named_place(Locator.parse(case.image).member))), None)
    within = next((what for case in cases if (what := channels_within(case))), None)
    channels = _channels(cases, rows, grey=settings.grey)
    return Spec(
        size=settings.size,
        channels=channels,
        dtype=Counter(image.dtype for image in images).most_common(1)[0][0],
        intensity=_intensity(rows, cases, settings, guess=guess),
        modality=None if modality == "unknown" else modality,
        keep_aspect=settings.keep_aspect,
        crop=settings.crop,
        spacing=settings.spacing,
        dimensions=settings.dimensions,
        neighbours=settings.neighbours,
        classes=found.classes,
        mask_classes=class_names(rule, found.mask_names) if rule else (),
        mask_rule=rule,
        ignore=rule is not None and rule.ignore is not None,
        readers=max(len(case.masks) for case in cases),
        slice_axis=cut and cut.axis,
        component=within or (cut and cut.component),
        pages=found.reading.get("pages"),
        channel_files=found.channels if channels >= len(found.channels) else (),
    )


def _image(row: DecodedCase) -> ImageFacts:
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


def _channels(cases: Sequence[Case], rows: Sequence[DecodedCase], *, grey: bool) -> int:
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
    most = max(counts)
    if grey and most not in (1, 3):
        raise DataError(
            f"{counts[most]} has {most} channels: which of them would be grey is not known",
            expected="grey or RGB images",
            remedy="leave out --grey",
            code="DATA-009",
        )
    return 1 if grey else most


class Description(NamedTuple):
    """All that is written about a set.

    Attributes:
        spec: what a model must know.
        division: the cases with their splits.
        facts: of the cases, in their order.
        notes: what a person should know.
        described: the fingerprint.
        reading: what a person said of images and masks.
        sharpness: what the size costs; None without masks.
    """

    spec: Spec
    division: Division
    facts: Sequence[CaseFacts]
    notes: Sequence[str]
    described: Mapping[str, Any]
    reading: Mapping[str, Any]
    sharpness: Sharpness | None


def write_description(folder: Path, about: Description) -> None:
    """Write all files of the set but the arrays into the folder."""
    images = [fact.image for fact in about.facts if fact.image is not None]
    extra: dict[str, list[Any]] = {
        "height": [image.size[0] for image in images],
        "width": [image.size[1] for image in images],
    }
    if any(image.spacing for image in images):
        extra["row_mm"] = [image.spacing[0] if image.spacing else "" for image in images]
        extra["column_mm"] = [image.spacing[1] if image.spacing else "" for image in images]
        extra["plane_mm"] = [image.between or "" for image in images]
    cases = about.division.cases
    write_manifest(folder / "manifest.csv", cases, extra=extra)
    form = FORMAT if about.spec.size else RAGGED_FORMAT
    entry = {"format": form, "spec": about.spec.to_dict(), "cases": len(cases), "notes": list(about.notes)}
    entry |= {"reading": dict(about.reading)} if about.reading else {}
    entry |= {"sharpness": about.sharpness._asdict()} if about.sharpness else {}
    for name, content in (("dataset.json", entry), ("fingerprint.json", about.described)):
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
    write_splits(folder / SPLITS_NAME, about.division.folds)
