"""`sfumato prepare`: decode a source once into a dataset that trains fast."""

from collections import Counter
from pathlib import Path
from typing import Any

from sfumato.commands.console import bar, say
from sfumato.commands.folder import check_output, output_folder
from sfumato.data.pack import Pack
from sfumato.data.prepare import prepare as prepare_cases
from sfumato.data.source import Found, find_cases
from sfumato.errors import UsageError
from sfumato.plan import Choice, plan_size
from sfumato.provenance import write_provenance
from sfumato.recipe import Recipe, load_recipe


def prepare(
    source: Path,
    /,
    *,
    out: Path,
    masks: Path | None = None,
    size: str = "auto",
    keep_aspect: bool = False,
    split: str = "0.7/0.15/0.15",
    seed: int = 0,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Decode images and masks into memory-mapped arrays, with a split by patient.

    Args:
        source: A folder of images (and masks), class folders, a MedMNIST npz, IDX files, or a folder with manifest.csv.
        out: The dataset folder to write.
        masks: The masks, if they are in a folder of their own.
        size: Height and width in pixels, e.g. 64 or 96x128; auto takes the images' median, within reason.
        keep_aspect: Pad to the size instead of stretching.
        split: Shares of train/validation/test; a split that the source has already is kept.
        seed: Of the split.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be read and written.
    """
    shares = _shares(split)
    settings = [f"data.size={parse_size(size)}", f"data.keep_aspect={keep_aspect}", f"data.split.seed={seed}"]
    settings += [
        f"data.split.{name}={share}" for name, share in zip(("train", "validation", "test"), shares, strict=True)
    ]
    recipe = load_recipe("segment", settings=settings)
    check_output(out, overwrite=overwrite, inputs=[path for path in (source, masks) if path])
    found = find_cases(source, masks=masks)
    if dry_run:
        resolved, _ = plan_size(recipe, found, device="cpu")
        say(f"would prepare {len(found.cases)} cases at {resolved[0]} x {resolved[1]} pixels into {out}")
        return {"dataset": str(out), "cases": len(found.cases), "size": list(resolved)}
    with output_folder(out, overwrite=overwrite) as staging:
        prepare_into(staging, recipe, found, source=source, masks=masks)
    say(f"prepared {out}")
    return describe(out, Pack.open(out))


def prepare_into(out: Path, recipe: Recipe, found: Found, *, source: Path, masks: Path | None) -> list[Choice]:
    """Prepare cases as the recipe says, with a bar and notes; the choices that were made."""
    size, choices = plan_size(recipe, found, device="cpu")
    split = recipe.data.split
    with bar("preparing", total=len(found.cases)) as progress:
        for prepared in prepare_cases(
            found,
            out,
            size=size,
            keep_aspect=recipe.data.keep_aspect,
            fractions=(split.train, split.validation, split.test),
            seed=split.seed,
        ):
            progress.update(prepared.done * len(found.cases) / prepared.total, note=prepared.name[:30])
    inputs = {"source": source, **({"masks": masks} if masks else {})}
    write_provenance(out, inputs=inputs, seed=split.seed)
    pack = Pack.open(out)
    for note in pack.notes:
        say(f"note: {note}")
    counts = Counter(case.split for case in pack.cases)
    parts = ", ".join(f"{counts[name]} {name}" for name in ("train", "validation", "test"))
    say(f"{len(pack)} cases at {size[0]} x {size[1]}: {parts}")
    return choices


def describe(folder: Path, pack: Pack) -> dict[str, Any]:
    """A dataset in numbers."""
    spec = pack.spec
    return {
        "dataset": str(folder),
        "kind": spec.kind,
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


def parse_size(text: str) -> str:
    """64, 96x128 or auto, as a recipe writes it."""
    if text == "auto":
        return text
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdigit() and int(side) > 0 for side in sides):
        raise UsageError(f"--size {text}", expected="pixels like 64, or height x width like 96x128")
    return f"[{sides[0]}, {sides[-1]}]"


def _shares(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(share) for share in text.split("/"))
    except ValueError:
        shares = ()
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise UsageError(f"--split {text}", expected="three shares that add up to 1, like 0.7/0.15/0.15")
    return shares
