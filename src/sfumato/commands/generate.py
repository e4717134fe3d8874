"""`sfumato generate`: images of the asked classes, one PNG each, with a manifest and preview grids."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from sfumato.commands.console import bar, say
from sfumato.commands.folder import check_output, output_folder
from sfumato.commands.guiding import build_flags
from sfumato.commands.steps import Steps, resolve_steps
from sfumato.data.formats.image import write_image
from sfumato.data.manifest import Case, file_names, write_manifest
from sfumato.diffusion.guidance import Guidance
from sfumato.errors import UsageError
from sfumato.inference import Made, Wanted, make, make_steps
from sfumato.provenance import write_provenance
from sfumato.report.figures import film as film_pictures
from sfumato.report.figures import grid
from sfumato.run import Model, load_model
from sfumato.tasks.film import film, watched
from sfumato.tasks.task import Sampler, to_uint8

GRIDS = (16, 36, 64)
"""Preview grids: 4 x 4, 6 x 6 and 8 x 8."""

PER_CLASS_SHEET = 16
UNCONDITIONAL = "unconditional"
METHODS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def generate(
    model: Path,
    /,
    *,
    out: Path,
    count: int = 64,
    class_: str | None = None,
    per_class: str | None = None,
    seeds: str | None = None,
    steps: Steps | None = None,
    sampler: str | None = None,
    grid: str | None = None,
    eta: float | None = None,
    churn: float | None = None,
    guidance: float | None = None,
    guidance_interval: str | None = None,
    guide: str | None = None,
    size: int | None = None,
    upsample: Literal["bilinear", "bicubic", "lanczos"] = "bicubic",
    batch: int = 32,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Make images. The folder is itself a dataset: `prepare` and `train` read it as it is.

    Args:
        model: A run folder, a checkpoint or a model.safetensors.
        out: The folder to write.
        count: How many images; the classes in turn.
        class_: Only this class; 'unconditional' for none.
        per_class: How many of each class, like benign=100,malignant=300.
        seeds: One seed for each image, like 0-63 or 3,7,20-29; by default 0, 1, 2, ...
        steps: Steps of the sampler; auto: the fewest that are as good as 50, measured once.
        sampler: One of sample.sampler in docs/recipe.md, such as dpmpp_2m, heun, ddim or ancestral.
        grid: One of sample.grid in docs/recipe.md, such as log_snr, karras or uniform.
        eta: Share of the posterior's noise, 0 to 1; for ddim and the ancestral and SDE samplers.
        churn: Noise added before the steps of euler, heun and dpm_2 (S_churn).
        guidance: Guidance scale; 1 is none.
        guidance_interval: Guide only at these noise-to-signal ratios, like 0.2,3: above the first, up to the second.
        guide: Move away from this weaker model instead of from 'no class': a model, or step-1000 of the same run.
        size: Enlarge images to this height, keeping their shape.
        upsample: How to enlarge.
        batch: Images made at once; bounds the memory.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be written.
    """
    loaded = load_generator(model)
    number = resolve_steps(
        loaded, model, steps, sampler=sampler, grid=grid, batch=batch,
        others={"--eta": eta, "--churn": churn, "--guide": guide, "--guidance": guidance},
    )  # fmt: skip
    drawn = loaded.sampler(steps=number, sampler=sampler, grid=grid, eta=eta, churn=churn)
    guided = build_flags(loaded, model, guidance=guidance, guidance_interval=guidance_interval, guide=guide)
    calls = drawn.calls * guided.evaluations
    wanted = plan_images(loaded.spec.classes, count=count, label=class_, per_class=per_class, seeds=seeds)
    totals = dict(Counter(image.label or UNCONDITIONAL for image in wanted))
    check_output(out, overwrite=overwrite)
    if dry_run:
        say(f"would make {len(wanted)} images, {calls} network calls each, into {out}: {totals}")
        return {"samples": str(out), "images": totals, "network_calls": calls}
    with output_folder(out, overwrite=overwrite) as folder:
        made = _write_images(loaded, drawn, wanted, folder, guidance=guided, batch=batch, height=size, method=upsample)
        _write_sheets(folder, made)
        _write_process(loaded, drawn, wanted[0], folder, guidance=guided)
        about = {"name": loaded.name, "sha256": loaded.sha256, "step": loaded.step}
        words = {"guidance": guided.scale, "guidance_interval": guided.interval, "guide": guide}
        write_provenance(folder, inputs={"model": model}, seed=None, model=about, sampler=drawn.name, **words)
    say(f"{len(wanted)} images in {out}: {', '.join(f'{number} {label}' for label, number in totals.items())}")
    return {"samples": str(out), "images": totals, "network_calls": calls}


def load_generator(path: Path) -> Model:
    """A model that makes images, on the fastest device.

    Raises:
        UsageError: it was trained for another job.
    """
    model = load_model(path, device="cuda" if torch.cuda.is_available() else "cpu")
    if model.recipe.task != "generate":
        raise UsageError(f"{path} was trained to segment images, not to make them", remedy="sfumato segment ...")
    return model


def plan_images(
    classes: Sequence[str], *, count: int, label: str | None, per_class: str | None, seeds: str | None
) -> list[Wanted]:
    """The images that were asked for, each with its seed.

    Raises:
        UsageError: a class that the model does not know, or fewer seeds than images.
    """
    if per_class is not None:
        labels = [known_class(name, classes) for name, number in _counts(per_class) for _ in range(number)]
    elif label is not None:
        labels = [known_class(label, classes)] * count
    else:
        labels = [classes[k % len(classes)] if classes else None for k in range(count)]
    numbers = list(range(len(labels))) if seeds is None else parse_seeds(seeds)
    if not labels or len(numbers) < len(labels):
        raise UsageError(
            f"{len(labels)} images with {len(numbers)} seeds", expected="at least one image, and a seed for each",
            remedy="give more --seeds or a smaller --count",
        )  # fmt: skip
    return [Wanted(index, name, seed) for index, (name, seed) in enumerate(zip(labels, numbers, strict=False))]


def parse_seeds(text: str) -> list[int]:
    """Seeds like 0-63 or 3,7,20-29, in the order in which they are given.

    Raises:
        UsageError: the text is something else, a range runs backwards, or a seed is given twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"--seeds {text}", expected="numbers and ranges like 0-63 or 3,7,20-29")
        if dash and int(last) < int(first):
            raise UsageError(f"--seeds {text}: {part.strip()} runs backwards", remedy=f"{last}-{first}")
        seeds.extend(range(int(first), int(last or first) + 1))
    if twice := [str(seed) for seed, number in Counter(seeds).items() if number > 1]:
        raise UsageError(
            f"--seeds {text} names a seed twice: {', '.join(twice[:5])}", expected="each seed once: it is one image"
        )
    return seeds


def _write_images(
    model: Model,
    sampler: Sampler,
    wanted: Sequence[Wanted],
    folder: Path,
    *,
    guidance: Guidance,
    batch: int,
    height: int | None,
    method: str,
) -> list[Made]:
    """One PNG each and the manifest."""
    made, cases = [], []
    folders = _safe_names(wanted)
    with bar("generating", total=len(wanted)) as progress:
        for image in make(model, sampler, wanted, guidance=guidance, batch=batch):
            label = image.wanted.label or UNCONDITIONAL
            path = folder / folders[label] / f"{image.wanted.number:06}.png"
            path.parent.mkdir(exist_ok=True)
            write_image(path, enlarged(image.image, height, method), text=_text(model, sampler, image, guidance))
            name = path.relative_to(folder).with_suffix("").as_posix()
            case = Case(id=name, image=str(path), label=image.wanted.label, origin="synthetic", source=model.sha256)
            cases.append(case)
            made.append(image)
            progress.update(len(made))
    write_manifest(
        folder / "manifest.csv",
        cases,
        extra={
            "file": [f"{case.id}.png" for case in cases],
            "seed": [image.wanted.seed for image in made],
            "steps": [sampler.steps] * len(made),
            "sampler": [sampler.name] * len(made),
            "guidance": [guidance.scale] * len(made),
            "model": [model.sha256] * len(made),
        },
    )
    return made


def _text(model: Model, sampler: Sampler, image: Made, guidance: Guidance) -> dict[str, str]:
    label = image.wanted.label or UNCONDITIONAL
    return synthetic(model, sampler, Seed=str(image.wanted.seed), Class=label, Guidance=str(guidance.scale))


def synthetic(model: Model, sampler: Sampler, **more: str) -> dict[str, str]:
    """PNG metadata: that the image is synthetic, and how it can be made again."""
    from sfumato import __version__

    return {
        "Synthetic": "true",
        "Software": f"sfumato {__version__}",
        "Model": model.sha256,
        "Sampler": f"{sampler.name}, {sampler.steps} steps",
        **more,
    }


def enlarged(image: np.ndarray, height: int | None, method: str) -> np.ndarray:
    """The image (h, w, c) uint8 at another height, its shape kept."""
    if height is None or height == image.shape[0]:
        return image
    width = round(image.shape[1] * height / image.shape[0])
    plain = image[..., 0] if image.shape[-1] == 1 else image
    pixels = np.asarray(Image.fromarray(plain).resize((width, height), METHODS[method]))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _safe_names(wanted: Iterable[Wanted]) -> dict[str, str]:
    """The name of the folder or file of each class."""
    labels = sorted({image.label or UNCONDITIONAL for image in wanted})
    return dict(zip(labels, file_names(labels), strict=True))


def _write_sheets(folder: Path, made: Sequence[Made]) -> None:
    """Preview grids over all images, and one sheet for each class."""
    (folder / "grids").mkdir()
    for number in GRIDS:
        if len(made) >= number:
            pictures = np.stack([image.image for image in _in_turn(made)[:number]])
            write_image(folder / "grids" / f"{number}.png", grid(pictures, round(number**0.5)))
    names = _safe_names(image.wanted for image in made)
    for label in {image.wanted.label for image in made}:
        pictures = np.stack([image.image for image in made if image.wanted.label == label][:PER_CLASS_SHEET])
        name = UNCONDITIONAL if label is None else f"class_{names[label]}"
        write_image(folder / f"{name}.png", grid(pictures, min(8, len(pictures))))


def _in_turn(made: Sequence[Made]) -> list[Made]:
    """The classes in turn, so that a preview shows them all."""
    seen: Counter[str | None] = Counter()
    order: list[tuple[int, int]] = []
    for image in made:
        order.append((seen[image.wanted.label], len(order)))
        seen[image.wanted.label] += 1
    return [made[index] for _, index in sorted(order)]


def _write_process(model: Model, sampler: Sampler, first: Wanted, folder: Path, *, guidance: Guidance) -> None:
    """The first image while it is made and while it is noised, as a strip and as an animation."""
    frames = list(watched(model.process, make_steps(model, sampler, [first], guidance=guidance), sampler.steps))
    shown = film(model.process, frames, 0, seed=first.seed)
    sheet, moving = film_pictures(shown.steps, *(list(to_uint8(torch.stack(kind))) for kind in shown[1:]))
    (folder / "progression.png").write_bytes(sheet)
    (folder / "progression.gif").write_bytes(moving)


def known_class(name: str, classes: Sequence[str]) -> str | None:
    """The class of a word; None for 'unconditional'.

    Raises:
        UsageError: the model does not know it.
    """
    if name == UNCONDITIONAL:
        return None
    if name not in classes:
        known = ", ".join(classes) or "none: it is unconditional"
        raise UsageError(f"the model has no class {name}", expected=f"one of its classes: {known}")
    return name


def _counts(text: str) -> list[tuple[str, int]]:
    pairs = [part.strip().rpartition("=") for part in text.split(",")]
    if not all(name and number.isdigit() for name, _, number in pairs):
        raise UsageError(f"--per-class {text}", expected="counts like benign=100,malignant=300")
    return [(name, int(number)) for name, _, number in pairs]
