"""The real images of a data set beside synthetic ones, as one folder that is a data set again.

    MIXED/  real/<id>.png   synthetic/<class>/000123.png   manifest.csv      (.tif of other channels than grey or RGB)

Both kinds are written in one form, as the model sees images: 8 bit, at its size. So nothing but what they show tells
them apart, and a real image's file holds pixels alone. Real ones keep id, class, patient and split; synthetic ones are
for training only and have no patient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import ending_of, write_image
from sfumato.data.manifest import Case, is_prepared
from sfumato.data.spec import Spec
from sfumato.errors import UsageError
from sfumato.evaluation.balance import BalanceTarget, ClassShortage, plan_balance
from sfumato.evaluation.copies.rejection import check_form
from sfumato.provenance import digest
from sfumato.tasks.task import to_uint8
from sfumato.wording import counted

MADE = "synthetic/"
"""How ids and files of synthetic images begin in a mix."""

TOGETHER = 256
"""Images that are read at once."""


@dataclass(frozen=True, kw_only=True)
class BalancePlan:
    """A data set, and what its classes need.

    Attributes:
        folder: the prepared data set.
        dataset: the same, opened.
        needs: of each class.
    """

    folder: Path
    dataset: Dataset
    needs: tuple[ClassShortage, ...]

    @classmethod
    def of(cls, folder: Path, model: Spec, *, to: BalanceTarget) -> "BalancePlan":
        """Plan what is to be made for a data set.

        Raises:
            UsageError: it is no prepared data set or of another form, was balanced already, has no classes, needs a
                class that the model does not know, or needs nothing.
        """
        if not is_prepared(folder):
            raise UsageError(
                f"--balance {folder}", expected="a prepared dataset", remedy=f"sfumato prepare {folder} --out DATASET"
            )
        dataset = Dataset.open(folder)
        check_form(dataset.spec, model, folder)
        if any(case.id.startswith(MADE) for case in dataset.cases):
            raise UsageError(
                f"{folder} was balanced already",
                expected="a dataset of real images, to be counted",
                remedy="--balance the dataset that it was made from",
            )
        needs = plan_balance([dataset.cases[row].label for row in dataset.rows("train")], to=to)
        _check(needs, model, folder)
        return cls(folder=folder, dataset=dataset, needs=needs)

    @property
    def labels(self) -> list[str]:
        """The class of every image that is to be made."""
        return [need.label for need in self.needs for _ in range(need.wanted)]

    def lines(self) -> list[str]:
        """The plan, a line for each class."""
        masks = "masks are left out: sfumato pair makes images with masks"
        return [masks] * self.dataset.spec.has_masks + [
            f"{need.label}: {need.there} for training, {need.wanted} to be made, {need.there + need.wanted} then"
            for need in self.needs
        ]

    def reading(self) -> str:
        """What the whole is, in a sentence."""
        level = max(need.there + need.wanted for need in self.needs)
        return (
            f"{counted(len(self.dataset), 'real image')} and those made for training: each class was to have {level} "
            "for training. More images are not more patients: whether they help is for sfumato prove to say."
        )

    def write(self, folder: Path, form: Callable[[np.ndarray], np.ndarray]) -> list[Case]:
        """The real images of all splits as files, with their rows of the manifest.

        Args:
            folder: where `real/` goes.
            form: what is done to the pixels of synthetic ones too.
        """
        sha256 = digest(self.folder) or ""
        for start in range(0, len(self.dataset), TOGETHER):
            rows = range(start, min(start + TOGETHER, len(self.dataset)))
            for row, pixels in zip(rows, to_uint8(self.dataset.images(rows)), strict=True):
                path = self._place(folder, self.dataset.cases[row])
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, form(pixels))
        return [
            replace(case, image=str(self._place(folder, case)), channels=(), masks=(), source=sha256)
            for case in self.dataset.cases
        ]

    def _place(self, folder: Path, case: Case) -> Path:
        return folder / "real" / f"{case.id}{ending_of(self.dataset.spec.channels)}"


def _check(needs: Sequence[ClassShortage], model: Spec, folder: Path) -> None:
    if not needs:
        raise UsageError(f"the training images of {folder} have no classes", expected="a dataset with labels")
    unknown = [need.label for need in needs if need.wanted and need.label not in model.classes]
    if unknown:
        known = f"classes of the model: {', '.join(model.classes)}" if model.classes else "a model that knows classes"
        why = "which the model does not know" if model.classes else "and the model is unconditional"
        raise UsageError(
            f"{folder} needs images of {', '.join(unknown)}, {why}",
            expected=known,
            remedy=f"sfumato train generate {folder} --cond class",
        )
    if not any(need.wanted for need in needs):
        there = ", ".join(f"{need.there} {need.label}" for need in needs)
        raise UsageError(f"{folder} needs nothing: it has {there}", remedy="--to a larger number")
