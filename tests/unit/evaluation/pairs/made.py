"""Small datasets of which everything is known, and models that nobody trained."""

from collections.abc import Sequence

import numpy as np
from torch import nn

from sfumato.builder.process import build_process
from sfumato.data.dataset import Dataset, OriginalSize
from sfumato.data.intensity import Intensity
from sfumato.data.manifest import Case
from sfumato.data.mask import MaskRule
from sfumato.data.spec import Spec
from sfumato.experiment.run import Model
from sfumato.recipe import load_recipe

RULE = MaskRule((0, 255), None, "0 is the background, 255 the object")


def spec_of(size: int = 8, *, classes: Sequence[str] = (), modality: str | None = None, readers: int = 1) -> Spec:
    return Spec(
        size=(size, size), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, ""),
        classes=tuple(classes), modality=modality, mask_classes=("background", "object"), mask_rule=RULE,
        readers=readers,
    )  # fmt: skip


def pack_of(
    masks: np.ndarray | None = None, *, missed: Sequence[int] = (), labels: Sequence[str] = (), **spec: object
) -> Dataset:
    """Training cases with these masks (n, readers, h, w), whose images are their masks.

    Args:
        masks: by default one full row of 8 x 8.
        missed: then validation cases in their place, each named `case/m`.
        labels: of the cases.
        **spec: see `spec_of`.
    """
    if masks is None:
        masks = np.zeros((max(1, len(missed)), 1, 8, 8), np.uint8)
        masks[:, :, 2] = 1
    names = [f"case/{m}" for m in missed] or [f"case{k}" for k in range(len(masks))]
    given = [*labels] or [None] * len(masks)
    cases = [
        Case(id=name, image=f"{name}.png", label=label, split="validation" if missed else "train")
        for name, label in zip(names, given, strict=True)
    ]
    known = spec_of(
        masks.shape[-1], classes=sorted({*labels}), readers=masks.shape[1],
        modality=spec.get("modality"),  # type: ignore[arg-type]
    )  # fmt: skip
    sizes = [OriginalSize(known.size)] * len(masks)
    return Dataset(known, cases, sizes, masks[:, 0, ..., None] * np.uint8(255), masks)


def model_of(dataset: Dataset, pairs: str = "none", task: str = "segment") -> Model:
    settings = ["data.size=[8, 8]"] + ([f"data.pairs={pairs}", "process.sigma_data=0.5"] if task == "generate" else [])
    recipe = load_recipe(task, settings=settings)  # type: ignore[arg-type]
    process = build_process(load_recipe("generate", settings=["process.sigma_data=0.5"]))
    return Model("a model", recipe, dataset.spec, process, nn.Linear(1, 1), 0, "5ha256")
