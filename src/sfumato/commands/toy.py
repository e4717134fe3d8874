"""`sfumato toy`: a dataset with known truth and known ambiguity."""

from pathlib import Path
from typing import Any

from sfumato.commands.console import say
from sfumato.commands.folder import check_output, output_folder
from sfumato.data.toy import make_toy
from sfumato.provenance import write_provenance


def toy(
    folder: Path,
    /,
    *,
    cases: int = 200,
    size: int = 64,
    classes: int = 3,
    readers: int = 4,
    seed: int = 0,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Make dermoscopy-like lesions with hair, vignetting and texture.

    Args:
        folder: The folder to write.
        cases: How many images.
        size: Height and width in pixels.
        classes: Grades; higher ones are darker, more irregular, more colourful.
        readers: Readers of each image; their outlines differ in a known way (truth.json).
        seed: The same seed makes the same data.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be written.
    """
    result = {"dataset": str(folder), "cases": cases, "size": size, "classes": classes, "readers": readers}
    if dry_run:
        check_output(folder, overwrite=overwrite)
        say(f"would write {cases} images of {size} x {size} pixels and {readers} masks of each to {folder}")
        return result
    with output_folder(folder, overwrite=overwrite) as staging:
        make_toy(staging, cases=cases, size=size, classes=classes, readers=readers, seed=seed)
        write_provenance(staging, inputs={}, seed=seed)
    say(f"{cases} toy cases in {folder}")
    return result
