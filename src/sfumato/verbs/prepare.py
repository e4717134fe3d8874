"""A source decoded once into a dataset that trains fast."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sfumato.data.dataset import Dataset
from sfumato.data.manifest import SPLITS, Case
from sfumato.data.preparation.spool import spool_folder
from sfumato.errors import UsageError
from sfumato.experiment.claim import Claim, home_of
from sfumato.experiment.dataset import prepare_into, rehearse_cases
from sfumato.experiment.output_folder import claim_output
from sfumato.experiment.source import AS_FOUND, Reading, find_to_read
from sfumato.progress import say
from sfumato.recipe import NATIVE, Modality, PlanPreset, Recipe, load_recipe
from sfumato.training.signals import going_on_later
from sfumato.verbs.bounds import check_workers

THREE_SHARES = "three shares that add up to 1, like 0.7/0.15/0.15"
_Intensity = Literal["auto", "unit", "window", "percentile", "zscore"]
Size = int | tuple[int, int] | Literal["auto", "native"]
"""Pixels of both sides; height and width; the images' median, within reason; or each image's own size."""


@dataclass(frozen=True)
class Prepared:
    """A dataset that was written.

    Attributes:
        folder: where it lies.
        dataset: the same, opened: images and masks as arrays, cases, splits, and what a model must know of them.
    """

    folder: Path
    dataset: Dataset

    @property
    def summary(self) -> dict[str, Any]:
        """The dataset in numbers."""
        spec, cases = self.dataset.spec, self.dataset.cases
        return {
            "dataset": str(self.folder),
            "has_masks": spec.has_masks,
            "cases": dict(Counter(case.split for case in cases)),
            "size": list(spec.size) if spec.size else NATIVE,
            "dimensions": spec.dimensions,
            "spacing": spec.spacing,
            "channels": spec.channels,
            "classes": dict(Counter(case.label for case in cases)) if spec.classes else {},
            "mask_classes": list(spec.mask_classes),
            "readers": spec.readers,
            "intensity": spec.intensity.text,
            "mask_rule": spec.mask_rule.text if spec.mask_rule else None,
            "notes": list(self.dataset.notes),
        }


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What becomes of images and masks, and how cases are divided.

    Args:
        size: Height and width in pixels, e.g. 64 or 96x128; native: each image keeps its own; auto: their median within
            reason, and their own where a small size would blur their masks.
        preset: fast: never their own size, volumes as planes; best: always their own size.
        keep_aspect: Pad to the size instead of stretching.
        crop: Cut the centre out in the shape of the size instead of stretching.
        dimensions: 2: every plane of a volume is an image; 3: volumes stay whole; auto: 3 with masks, 16 planes or more
            and a distance between them below 3 pixels, unless a size is given.
        neighbours: Planes before and behind each that become channels of it, where volumes are cut into planes.
        spacing: Resample to so many millimetres per pixel, then pad or cut to the size; whole volumes to so many
            between planes, rows and columns, such as 3x0.8x0.8 (by default those of most of them).
        grey: Make colours grey; else, where some images have colours, all become RGB.
        modality: What made the images: decides their intensity rule and augmentation.
        intensity: Which stored numbers become black and white.
        window: Black and white in stored numbers, e.g. -1000,400 in Hounsfield units.
        keep_empty: Share of the volumes' slices without foreground that are kept.
        split: Shares of train/validation/test; a split that the source has already is kept.
        folds: Divide what is not for testing into so many folds; --fold is the one to validate on.
        seed: Of the split.
    """

    size: Size = "auto"
    preset: PlanPreset = "auto"
    keep_aspect: bool = False
    crop: bool = False
    dimensions: Literal[2, 3, "auto"] = "auto"
    neighbours: int = 0
    spacing: float | tuple[float, float, float] | None = None
    grey: bool = False
    modality: Modality = "auto"
    intensity: _Intensity = "auto"
    window: tuple[float, float] | None = None
    keep_empty: float = 1.0
    split: tuple[float, float, float] = (0.7, 0.15, 0.15)
    folds: int = 0
    seed: int = 0

    def changes(self) -> dict[str, Any]:
        """The same as changes of a recipe: values by dotted names."""
        size = (self.size, self.size) if isinstance(self.size, int) else self.size
        given = {
            "size": size,
            "keep_aspect": self.keep_aspect,
            "crop": self.crop,
            "dimensions": self.dimensions,
            "neighbours": self.neighbours,
            "spacing": self.spacing,
            "grey": self.grey,
            "modality": self.modality,
            "intensity": self.intensity,
            "window": self.window,
            "keep_empty": self.keep_empty,
            **{f"split.{name}": share for name, share in zip(SPLITS, self.split, strict=True)},
            "split.folds": self.folds,
            "split.seed": self.seed,
        }
        return {"preset": self.preset, **{f"data.{name}": value for name, value in given.items() if value is not None}}


_AS_PLANNED = Preparation()
"""Nothing said: what the source is like decides."""


@dataclass(frozen=True)
class Rehearsed:
    """What a preparation would write.

    Attributes:
        cases: the images, or planes of volumes.
        dimensions: 2: each is one by itself; 3: volumes stay whole.
        size: height and width in pixels; None: each image's own.
        notes: what it would tell.
    """

    cases: Sequence[Case]
    dimensions: Literal[2, 3]
    size: tuple[int, int] | None
    notes: tuple[str, ...]


def prepare(
    source: Path | str,
    *,
    out: Path | str,
    reading: Reading = AS_FOUND,
    preparation: Preparation = _AS_PLANNED,
    workers: int | None = None,
    overwrite: bool = False,
) -> Prepared:
    """Decode images and masks into memory-mapped arrays, with a split by patient; started again, it goes on.

    Args:
        source: a folder of images (and masks), class folders, a table, zip, npz, npy or IDX file, volumes, an nnU-Net
            raw dataset, or a folder with manifest.csv.
        out: the dataset folder to write.
        reading: what may be said of the source beyond its path.
        preparation: size, intensities, division.
        workers: processes that decode; all cores by default.
        overwrite: replace a folder that is not empty.

    Raises:
        DataError: what `check` calls an error.
        UsageError: a value is out of its bounds, or `out` is not empty or lies in the source.
        ResourceError: the disk is full, or memory is.
    """
    check_workers(workers)
    source, recipe = Path(source), _recipe(reading, preparation)
    claim = _claim(source, Path(out), reading, overwrite=overwrite)
    found = find_to_read(source, recipe)
    spool = spool_folder(home_of(claim.out) / claim.out.name)
    with going_on_later(lambda: "what is decoded so far is kept"), claim.folder() as staging:
        prepare_into(staging, recipe, found, source=source, spool=spool, workers=workers)
    say(f"prepared {out}")
    return Prepared(Path(out), Dataset.open(Path(out)))


def rehearse(
    source: Path | str,
    *,
    out: Path | str,
    reading: Reading = AS_FOUND,
    preparation: Preparation = _AS_PLANNED,
    workers: int | None = None,
    overwrite: bool = False,
) -> Rehearsed:
    """Read everything and refuse what `prepare` would refuse, but write nothing; the same arguments and errors."""
    check_workers(workers)
    source, recipe = Path(source), _recipe(reading, preparation)
    _claim(source, Path(out), reading, overwrite=overwrite)
    found = find_to_read(source, recipe)
    form, notes = rehearse_cases(recipe, found, workers=workers)
    return Rehearsed(found.cases, form.dimensions, form.size, notes)


def _recipe(reading: Reading, preparation: Preparation) -> Recipe:
    if min(preparation.split) < 0 or abs(sum(preparation.split) - 1) > 1e-6:
        raise UsageError(
            f"a split into {'/'.join(f'{share:g}' for share in preparation.split)}",
            expected=THREE_SHARES,
        )
    return load_recipe("segment", changes={**reading.changes(), **preparation.changes()})


def _claim(source: Path, out: Path, reading: Reading, *, overwrite: bool) -> Claim:
    return claim_output(out, overwrite=overwrite, inputs=[path for path in (source, reading.masks_folder) if path])
