"""`sfumato toy`: a dataset with known truth and known ambiguity."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from sfumato.commands.flags.numbers import Count, Index, Several
from sfumato.data.toys.messy import make_messy
from sfumato.data.toys.toy import make_toy
from sfumato.data.toys.volume import make_toy_volumes
from sfumato.errors import UsageError
from sfumato.experiment.output_folder import claim_output
from sfumato.progress import say
from sfumato.provenance import write_provenance
from sfumato.wording import counted

_CASES = {"pictures": 200, "volumes": 12, "messy": 60}
"""How many cases of each kind, unless the person says."""


def toy(
    folder: Path,
    /,
    *,
    cases: Count | None = None,
    size: Count = 64,
    classes: Count | None = None,
    mask_classes: Several | None = None,
    readers: Count | None = None,
    channels: Literal["rgb", "grey"] | None = None,
    volumes: bool = False,
    messy: bool = False,
    seed: Index = 0,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Make dermoscopy-like lesions with hair, vignetting and texture; or CT-like volumes; or a set full of defects.

    Args:
        folder: The folder to write.
        cases: How many images (200, of a messy set 60) or volumes (12).
        size: Height and width in pixels.
        classes: Grades (3); higher ones are darker, more irregular, more colourful.
        mask_classes: Classes of pixels, background included: 2 for pictures (0/255), 3 for volumes.
        readers: Readers of each image (4); their outlines differ in a known way (truth.json).
        channels: rgb or grey pictures.
        volumes: CT-like NIfTI volumes with an organ and lesions in it, in images/ and labels/.
        messy: Plant a defect of each kind that check finds; defects.json lists them.
        seed: The same seed makes the same data.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be written.
    """
    given = {"classes": classes, "mask_classes": mask_classes, "readers": readers, "channels": channels}
    kind = _kind(given, volumes=volumes, messy=messy)
    count = _CASES[kind] if cases is None else cases
    chosen = {"classes": classes or 3, "readers": readers or 4} if kind == "pictures" else {}
    result = {"dataset": str(folder), "kind": kind, "cases": count, "size": size, **chosen}
    claim = claim_output(folder, overwrite=overwrite)
    if dry_run:
        say(f"would write {counted(count, 'toy case')} ({kind}) of {size} x {size} pixels to {folder}")
        return result
    with claim.folder() as staging:
        match kind:
            case "volumes":
                make_toy_volumes(staging, cases=count, size=size, mask_classes=_or(mask_classes, 3), seed=seed)
            case "messy":
                make_messy(staging, cases=count, size=size, seed=seed)
            case _:
                make_toy(
                    staging,
                    cases=count,
                    size=size,
                    classes=_or(classes, 3),
                    mask_classes=_or(mask_classes, 2),
                    readers=_or(readers, 4),
                    grey=channels == "grey",
                    seed=seed,
                )
        write_provenance(staging, inputs={}, seed=seed)
    say(f"{counted(count, 'toy case')} in {folder}")
    return result


def _or(given: int | None, otherwise: int) -> int:
    return otherwise if given is None else given


def _kind(given: Mapping[str, object], *, volumes: bool, messy: bool) -> str:
    """What to make; settings that it does not have are refused."""
    if volumes and messy:
        raise UsageError("--volumes and --messy exclude each other", expected="one of them")
    if not volumes and not messy:
        return "pictures"
    kind, allowed = ("volumes", {"mask_classes"}) if volumes else ("messy", set[str]())
    if strange := [f"--{name.replace('_', '-')}" for name, value in given.items() if value and name not in allowed]:
        raise UsageError(f"--{kind} has no {', '.join(strange)}", expected="settings of toy pictures without it")
    return kind
