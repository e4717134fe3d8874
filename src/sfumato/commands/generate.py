"""`sfumato generate`: images of the asked classes, one PNG each, with a manifest and preview grids."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image

from sfumato.commands.flags.guiding import build_flags
from sfumato.commands.flags.steps import Steps, resolve_steps
from sfumato.commands.flags.wishes import UNCONDITIONAL, plan_images
from sfumato.commands.output.console import bar, say
from sfumato.commands.output.ledger import Finished, Share, Work, asked_by, own_shard
from sfumato.data.formats.image import write_image
from sfumato.data.manifest import Case, file_names, write_manifest
from sfumato.diffusion.guidance import Guidance
from sfumato.errors import UsageError
from sfumato.inference import Wanted, make, make_steps
from sfumato.provenance import write_provenance
from sfumato.report.figures import film as film_pictures
from sfumato.report.figures import grid
from sfumato.run import Model, load_model
from sfumato.tasks.film import film, watched
from sfumato.tasks.task import Sampler, to_uint8
from sfumato.training.hardware import set_up

GRIDS = (16, 36, 64)
"""Preview grids: 4 x 4, 6 x 6 and 8 x 8."""

PER_CLASS_SHEET = 16
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
    shard: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Make images. The folder is itself a dataset: `prepare` and `train` read it as it is.

    The same command again continues what was stopped. Under torchrun each process makes a share of the images.

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
        shard: Only this share of the images, like 0/4; who comes last completes the folder. Any machine that sees it
            can do any share, again and again.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be written.
    """
    flags, mine = dict(locals()), own_shard(shard)
    loaded = load_generator(model)
    number = resolve_steps(
        loaded, model, steps, sampler=sampler, grid=grid, batch=batch,
        others={"--eta": eta, "--churn": churn, "--guide": guide, "--guidance": guidance},
    )  # fmt: skip
    order = _Order(
        model=loaded,
        sampler=loaded.sampler(steps=number, sampler=sampler, grid=grid, eta=eta, churn=churn),
        guidance=build_flags(loaded, model, guidance=guidance, guidance_interval=guidance_interval, guide=guide),
        wanted=plan_images(loaded.spec.classes, count=count, label=class_, per_class=per_class, seeds=seeds),
        height=size,
        method=upsample,
    )
    asked = asked_by(flags, model=loaded.sha256, steps=number)
    work = Work(out=out, asked=asked, items=[_item(image) for image in order.wanted])
    if work.is_wanted(overwrite=overwrite) and not dry_run:
        with work.share(mine) as share:
            _write_images(order, share, batch=batch)
        with work.finishing() as finished:
            if finished is not None:
                _finish(order, finished, source=model, guide=guide, asked=asked)
    say(f"{work.told()}: {order.told()}")
    return {"samples": str(out), "images": order.totals, "network_calls": order.calls}


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What is to be made.

    Attributes:
        model: the model.
        sampler: how each image is drawn.
        guidance: away from what.
        wanted: the images.
        height: of the files; None for the model's.
        method: how images are enlarged.
    """

    model: Model
    sampler: Sampler
    guidance: Guidance
    wanted: Sequence[Wanted]
    height: int | None
    method: str

    @property
    def totals(self) -> dict[str, int]:
        """Images by class."""
        return dict(Counter(_label(image) for image in self.wanted))

    @property
    def calls(self) -> int:
        """Network calls for each image."""
        return self.sampler.calls * self.guidance.evaluations

    def told(self) -> str:
        """In words."""
        classes = ", ".join(f"{number} {label}" for label, number in self.totals.items())
        return f"{len(self.wanted)} images of {self.calls} network calls each ({classes})"


def load_generator(path: Path) -> Model:
    """A model that makes images, on the device of this process.

    Raises:
        UsageError: it was trained for another job.
    """
    model = load_model(path, device=set_up())
    if model.recipe.task != "generate":
        raise UsageError(f"{path} was trained to segment images, not to make them", remedy="sfumato segment ...")
    return model


def _write_images(order: _Order, share: Share, *, batch: int) -> None:
    """One PNG each; those of the sheets are kept as they were made."""
    files, pictured = _files(order.wanted), {number for sheet in _sheets(order.wanted) for number in sheet.images}
    todo = set(share.todo)
    wanted = [image for image in order.wanted if _item(image) in todo]
    with bar("generating", total=len(wanted)) as progress:
        made = make(order.model, order.sampler, wanted, guidance=order.guidance, batch=batch, tell=say)
        for done, image in enumerate(made, start=1):
            path = share.files / files[image.wanted.number]
            path.parent.mkdir(exist_ok=True)
            write_image(path, enlarged(image.image, order.height, order.method), text=_text(order, image.wanted))
            if image.wanted.number in pictured:
                np.save(share.aside / f"{_item(image.wanted)}.npy", image.image)
            share.note(_item(image.wanted))
            progress.update(done)


def _finish(order: _Order, finished: Finished, *, source: Path, **words: Any) -> None:
    """What is about all images: manifest, sheets, process, provenance."""
    _write_manifest(order, finished.files)
    for sheet in _sheets(order.wanted):
        pictures = np.stack([np.load(finished.aside / f"{number:06}.npy") for number in sheet.images])
        path = finished.files / sheet.file
        path.parent.mkdir(exist_ok=True)
        write_image(path, grid(pictures, sheet.columns))
    _write_process(order, finished.files)
    about = {"name": order.model.name, "sha256": order.model.sha256, "step": order.model.step}
    words |= {"guidance": order.guidance.scale, "guidance_interval": order.guidance.interval}
    write_provenance(finished.files, inputs={"model": source}, model=about, sampler=order.sampler.name, **words)


def _write_manifest(order: _Order, folder: Path) -> None:
    files, sha256 = _files(order.wanted), order.model.sha256
    cases = [
        Case(
            id=file.removesuffix(".png"), image=str(folder / file), label=image.label, origin="synthetic", source=sha256
        )
        for image, file in zip(order.wanted, files, strict=True)
    ]
    same = {
        "steps": order.sampler.steps,
        "sampler": order.sampler.name,
        "guidance": order.guidance.scale,
        "model": sha256,
    }
    extra = {name: [value] * len(cases) for name, value in same.items()}
    seeds = [image.seed for image in order.wanted]
    write_manifest(folder / "manifest.csv", cases, extra={"file": files, "seed": seeds, **extra})


def _item(image: Wanted) -> str:
    """The name of an image in the ledger."""
    return f"{image.number:06}"


def _label(image: Wanted) -> str:
    return image.label or UNCONDITIONAL


def _files(wanted: Sequence[Wanted]) -> list[str]:
    """The file of each image, below the folder."""
    folders = _safe_names(wanted)
    return [f"{folders[_label(image)]}/{_item(image)}.png" for image in wanted]


def _text(order: _Order, image: Wanted) -> dict[str, str]:
    about = {"Seed": str(image.seed), "Class": _label(image), "Guidance": str(order.guidance.scale)}
    return synthetic(order.model, order.sampler, **about)


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


def _safe_names(wanted: Sequence[Wanted]) -> dict[str, str]:
    """The name of the folder or file of each class."""
    labels = sorted({_label(image) for image in wanted})
    return dict(zip(labels, file_names(labels), strict=True))


class _Sheet(NamedTuple):
    """A picture of several images, by their numbers."""

    file: str
    images: list[int]
    columns: int


def _sheets(wanted: Sequence[Wanted]) -> Iterator[_Sheet]:
    """Preview grids over all images, and one sheet for each class."""
    in_turn = [image.number for image in _in_turn(wanted)]
    for number in GRIDS:
        if len(wanted) >= number:
            yield _Sheet(f"grids/{number}.png", in_turn[:number], round(number**0.5))
    names = _safe_names(wanted)
    for label in dict.fromkeys(image.label for image in wanted):
        numbers = [image.number for image in wanted if image.label == label][:PER_CLASS_SHEET]
        name = UNCONDITIONAL if label is None else f"class_{names[label]}"
        yield _Sheet(f"{name}.png", numbers, min(8, len(numbers)))


def _in_turn(wanted: Sequence[Wanted]) -> list[Wanted]:
    """The classes in turn, so that a preview shows them all."""
    seen: Counter[str | None] = Counter()
    order: list[tuple[int, int]] = []
    for image in wanted:
        order.append((seen[image.label], len(order)))
        seen[image.label] += 1
    return [wanted[index] for _, index in sorted(order)]


def _write_process(order: _Order, folder: Path) -> None:
    """The first image while it is made and while it is noised, as a strip and as an animation."""
    process, first = order.model.process, order.wanted[0]
    steps = make_steps(order.model, order.sampler, [first], guidance=order.guidance)
    shown = film(process, list(watched(process, steps, order.sampler.steps)), 0, seed=first.seed)
    sheet, moving = film_pictures(shown.steps, *(list(to_uint8(torch.stack(kind))) for kind in shown[1:]))
    (folder / "progression.png").write_bytes(sheet)
    (folder / "progression.gif").write_bytes(moving)
