"""`sfumato prepare`: decode a source once into a dataset that trains fast."""

from collections import Counter
from pathlib import Path
from typing import Any, Literal

from sfumato.commands.flags.numbers import Count, Fraction, Index, Positive
from sfumato.commands.flags.source import AS_READ, ReadingFlags
from sfumato.commands.flags.words import parse_size
from sfumato.data.manifest import SPLITS
from sfumato.data.pack import Pack
from sfumato.data.preparation.spool import spool_folder
from sfumato.data.units import told
from sfumato.errors import UsageError
from sfumato.experiment.claim import home_of
from sfumato.experiment.dataset import prepare_into, rehearse
from sfumato.experiment.output_folder import claim_output
from sfumato.experiment.source import find_to_read
from sfumato.numerals import decimal
from sfumato.progress import say
from sfumato.recipe import Modality, load_recipe
from sfumato.training.signals import going_on_later


def prepare(
    source: Path,
    /,
    *,
    out: Path,
    flags: ReadingFlags = AS_READ,
    size: str = "auto",
    keep_aspect: bool = False,
    crop: bool = False,
    spacing: Positive | None = None,
    grey: bool = False,
    modality: Modality = "auto",
    intensity: Literal["auto", "unit", "window", "percentile", "zscore"] = "auto",
    window: str | None = None,
    keep_empty: Fraction = 1.0,
    split: str = "0.7/0.15/0.15",
    folds: Index = 0,
    seed: Index = 0,
    workers: Count | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Decode images and masks into memory-mapped arrays, with a split by patient; started again, it goes on.

    Args:
        source: A folder of images (and masks), class folders, a CSV, zip, npz, npy or IDX file, NIfTI, NRRD or DICOM
            files, an nnU-Net raw dataset, or a folder with manifest.csv.
        out: The dataset folder to write.
        flags: How to read the source.
        size: Height and width in pixels, e.g. 64 or 96x128; auto takes the images' median, within reason.
        keep_aspect: Pad to the size instead of stretching.
        crop: Cut the centre out in the shape of the size instead of stretching.
        spacing: Resample to so many millimetres per pixel, then pad or cut to the size.
        grey: Make colours grey; else, where some images have colours, all become RGB.
        modality: What made the images: decides their intensity rule and augmentation.
        intensity: Which stored numbers become black and white.
        window: Black and white in stored numbers, e.g. -1000,400 in Hounsfield units.
        keep_empty: Share of the volumes' slices without foreground that are kept.
        split: Shares of train/validation/test; a split that the source has already is kept.
        folds: Divide what is not for testing into so many folds; --fold is the one to validate on.
        seed: Of the split.
        workers: Processes that decode; all cores by default.
        overwrite: Replace a folder that is not empty.
        dry_run: Read everything, refuse what would be refused, say what would be written, and write nothing.
    """
    settings = flags.settings()
    settings += [f"data.size={parse_size(size)}", f"data.keep_aspect={keep_aspect}", f"data.crop={crop}"]
    settings += [f"data.modality={modality}", f"data.intensity={intensity}"]
    settings += [f"data.grey={grey}", f"data.keep_empty={keep_empty}"]
    settings += [f"data.window=[{window}]"] * (window is not None) + [f"data.spacing={spacing}"] * (spacing is not None)
    settings += [f"data.split.{name}={share}" for name, share in zip(SPLITS, _shares(split), strict=True)]
    settings += [f"data.split.seed={seed}", f"data.split.folds={folds}"]
    recipe = load_recipe("segment", settings=settings)
    claim = claim_output(out, overwrite=overwrite, inputs=[path for path in (source, flags.masks_folder) if path])
    found = find_to_read(source, recipe)
    if dry_run:
        resolved, notes = rehearse(recipe, found, workers=workers)
        for note in notes:
            say(f"note: {note}")
        say(f"would prepare {told(found.cases)} at {resolved[0]} x {resolved[1]} pixels into {out}")
        return {"dataset": str(out), "cases": len(found.cases), "size": list(resolved)}
    spool = spool_folder(home_of(claim.out) / claim.out.name)
    with going_on_later(lambda: "what is decoded so far is kept"), claim.folder() as staging:
        prepare_into(staging, recipe, found, source=source, spool=spool, workers=workers)
    say(f"prepared {out}")
    return describe(out, Pack.open(out))


def describe(folder: Path, pack: Pack) -> dict[str, Any]:
    """A dataset in numbers."""
    spec = pack.spec
    return {
        "dataset": str(folder),
        "has_masks": spec.has_masks,
        "cases": dict(Counter(case.split for case in pack.cases)),
        "size": list(spec.size),
        "channels": spec.channels,
        "classes": dict(Counter(case.label for case in pack.cases)) if spec.classes else {},
        "mask_classes": list(spec.mask_classes),
        "readers": spec.readers,
        "intensity": spec.intensity.text,
        "mask_rule": spec.mask_rule.text if spec.mask_rule else None,
        "notes": list(pack.notes),
    }


def _shares(text: str) -> tuple[float, ...]:
    shares = tuple(-1.0 if (share := decimal(part)) is None else share for part in text.split("/"))
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise UsageError(f"--split {text}", expected="three shares that add up to 1, like 0.7/0.15/0.15")
    return shares
