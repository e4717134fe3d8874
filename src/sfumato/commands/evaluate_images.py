"""`sfumato evaluate images`: how generated images differ from real ones, and whether they are copies of them."""

import math
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Index
from sfumato.commands.output.layout import show_table
from sfumato.evaluation.images.examine import Examination
from sfumato.evaluation.images.panel import MetricRow
from sfumato.evaluation.images.read import RealPart
from sfumato.metrics.table import MATCHED, POOLED
from sfumato.progress import say
from sfumato.reporting.meaning import heading
from sfumato.reporting.reading import z_text
from sfumato.verbs.evaluate_images import FEATURES, evaluate_images
from sfumato.wording import counted

_IN_SHORT = ("kid", "kid_of_training", "frechet", "frechet_reference", "recall", "coverage", "ms_ssim", "duplicates")
"""Metrics that the terminal shows."""


def images(
    samples: Path,
    real: Path | None = None,
    /,
    *,
    out: Path,
    features: str = ",".join(FEATURES),
    real_split: RealPart = "auto",
    holdout: Path | None = None,
    reference: Path | None = None,
    copies: Annotated[bool, Parameter(negative="--no-copies")] = True,
    seed: Index = 0,
    device: Device = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Distances of generated images to real ones beside those of real images among themselves, diversity, copies.

    Args:
        samples: The generated images: a folder of `sfumato generate`, or any source of images; classes by folder.
        real: The real images: the dataset that the model was trained on, with its split, or any source.
        out: The folder to write.
        features: Spaces to compare in: own, radiomics, pixels, inception:FILE, dinov2:FOLDER.
        real_split: Which real images; held-out: validation and test; auto: those, or all where they are few.
        holdout: A dataset of further real images that the model has not seen, to compare with instead.
        reference: Statistics of `sfumato reference`, EDM or pytorch-fid (.npz), beside the real images or instead.
        copies: Look for each image's nearest training image, and say whether it is a copy.
        seed: Of the images that are drawn, and of the classifier behind the space own.
        device: Where to work.
        overwrite: Replace a folder that is not empty.
    """
    comparison = evaluate_images(
        samples,
        real,
        out=out,
        features=features.split(","),
        real_split=real_split,
        holdout=holdout,
        reference=reference,
        copies=copies,
        seed=seed,
        device=device,
        overwrite=overwrite,
    )
    _show(comparison.answer)
    say(f"the comparison is in {out}")
    return {"evaluation": str(out), **comparison.summary}


def _show(answer: Examination) -> None:
    """The numbers about the whole set, and all sentences."""
    groups = {measure.group for measure in answer.measures}
    whole = MATCHED if MATCHED in groups else POOLED
    rows = [measure for measure in answer.measures if measure.group in (whole, POOLED) and measure.metric in _IN_SHORT]
    shown = [row for row in rows if row.group == whole or row.metric == "frechet_reference"]
    classes = ", real ones in the class shares of the samples" if whole == MATCHED else ""
    title = f"Generated beside real images, {counted(shown[0].images, 'image')} on each side{classes}"
    head = ("space", "number", "value [95 %]", "real to real", "z")
    show_table(head, [(row.space, heading(row.metric), *cells(row)) for row in shown], title=title, keys=2)
    for note in answer.notes:
        say(f"note: {note}")
    for sentence in answer.reading():
        say(sentence)


def cells(row: MetricRow) -> tuple[str, str, str]:
    """Value with interval, floor, z-score as text."""
    value = f"{row.value:.4g} [{row.low:.4g}, {row.high:.4g}]"
    if math.isnan(row.floor):
        return value, "", ""
    return value, f"{row.floor:.4g} ± {row.floor_sd:.2g}", z_text(row.z)
