"""`sfumato import`, `sfumato export`: models from diffusers into one file that describes itself, and back."""

from pathlib import Path
from typing import Any

from sfumato.commands.flags.words import parse_sides
from sfumato.progress import say
from sfumato.verbs.exchange import ModelFormat, export_model, import_model


def import_(
    model: str,
    /,
    *,
    out: Path,
    size: str | None = None,
    classes: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a diffusers model as one file that describes itself; no pickle is run.

    Args:
        model: A diffusers folder, or OWNER/NAME of a model on the hub.
        out: The model.safetensors to write.
        size: Height and width in pixels of its images, where it does not say; like 64 or 96x128.
        classes: Names of its classes in order, like benign,malignant; one row more is 'no class'. By default numbers.
        overwrite: Replace a file that is there.
    """
    imported = import_model(
        model,
        out=out,
        size=parse_sides(size),
        classes=classes.split(",") if classes else None,
        overwrite=overwrite,
    )
    for line in imported.notes:
        say(line)
    return {
        "model": str(out),
        "of": imported.name,
        "sha256": imported.sha256,
        "size": imported.size,
        "classes": imported.classes,
    }


def export(model: Path, /, *, to: ModelFormat, out: Path, overwrite: bool = False) -> dict[str, Any]:
    """Write a model for others: one file that describes itself, or a pipeline of diffusers.

    Args:
        model: A run folder, a checkpoint (also RUN/checkpoints/best-loss) or a model.safetensors; of a run the best
            averaged weights.
        to: The form: safetensors holds any model; diffusers one whose network and process it has.
        out: The file (safetensors) or folder (diffusers) to write.
        overwrite: Replace what is there.
    """
    exported = export_model(model, to=to, out=out, overwrite=overwrite)
    result: dict[str, Any] = {"model": str(model), "to": to, "out": str(out)}
    if to == "safetensors":
        return {**result, "weights": exported.weights}
    if exported.classes:
        names = ", ".join(f"{index} {name}" for index, name in enumerate([*exported.classes, "no class"]))
        say(f"its network needs class_labels, which DDPMPipeline does not give: {names}")
    return {**result, "classes": exported.classes}
