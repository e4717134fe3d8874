"""`sfumato generate`: images of the asked classes, a PNG or TIFF each, with a manifest and preview grids."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.guiding import build_flags
from sfumato.commands.flags.numbers import Count, Fraction, NonNegative
from sfumato.commands.flags.overshoot import warn_of_overshoot
from sfumato.commands.flags.steps import Steps
from sfumato.commands.flags.wishes import plan_images
from sfumato.commands.output.origin import drawn_by, made_by
from sfumato.commands.output.samples import (
    enlarged,
    files_of,
    item_of,
    label_of,
    pictured,
    write_sheets,
)
from sfumato.commands.output.summary import read_summary
from sfumato.data.formats.image import write_image
from sfumato.data.manifest import Case, write_manifest
from sfumato.diffusion.guidance import Guidance
from sfumato.errors import UsageError
from sfumato.evaluation.balance import Level
from sfumato.evaluation.balance_mix import MADE, Mix
from sfumato.evaluation.copies import CopyDetector
from sfumato.evaluation.copies.rejection import Outcome, build_detector, draw_kept, rejections, told
from sfumato.experiment.inference import Made, Wanted, make, make_steps
from sfumato.experiment.pictures import spared
from sfumato.experiment.resolve_steps import resolve_steps
from sfumato.experiment.run import Model, load_model
from sfumato.experiment.sharded_job import Finished, Share, Work, asked_by, own_shard
from sfumato.progress import bar, say
from sfumato.provenance import digest, write_provenance
from sfumato.reporting.figures import film as film_pictures
from sfumato.tables import write_records
from sfumato.tasks.film import film, watched
from sfumato.tasks.task import Sampler, to_uint8
from sfumato.training.hardware import set_up
from sfumato.training.processes import choose_device
from sfumato.wording import counted


def generate(
    model: Path,
    /,
    *,
    out: Path,
    count: Count | None = None,
    class_: str | None = None,
    per_class: str | None = None,
    balance: Path | None = None,
    to: Level = "max",
    reject_copies: Path | None = None,
    seeds: str | None = None,
    steps: Steps | None = None,
    sampler: str | None = None,
    grid: str | None = None,
    eta: Fraction | None = None,
    churn: NonNegative | None = None,
    guidance: NonNegative | None = None,
    guidance_interval: str | None = None,
    guide: str | None = None,
    size: Count | None = None,
    upsample: Literal["bilinear", "bicubic", "lanczos"] = "bicubic",
    subdirs: bool = False,
    batch: Count = 32,
    device: Device = "auto",
    shard: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Make images. The folder is itself a dataset: `prepare` and `train` read it as it is.

    The same command again continues what was stopped. Under torchrun each process makes a share of the images.

    Args:
        model: A run folder, a checkpoint or a model.safetensors.
        out: The folder to write.
        count: How many images, as many as seeds or 64 by default; the classes in turn.
        class_: Only this class; 'unconditional' for none.
        per_class: How many of each class, like benign=100,malignant=300.
        balance: A prepared dataset: make what its classes lack in the training split, reject copies of its images, and
            write both together: the real images of all splits, the synthetic ones for training.
        to: How many --balance gives each class: max, as many as the largest class has, or a number.
        reject_copies: A prepared dataset, the model's own: an image that copies one of its training images is drawn
            again from another seed, at most 10 times.
        seeds: One seed for each image, like 0-63 or 3,7,20-29; as many as images. By default 0, 1, 2, ...
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
        subdirs: Put the images of a class into folders of 1,000, for sets of many thousands.
        batch: Images made at once; bounds the memory.
        device: Where to work.
        shard: Only this share of the images, like 0/4; who comes last completes the folder. Any machine that sees it
            can do any share, again and again.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be written.
    """
    flags, mine = dict(locals()), own_shard(shard)
    choose_device(device)
    loaded = load_generator(model)
    number = resolve_steps(
        loaded, model, steps, sampler=sampler, grid=grid, batch=batch,
        others={"--eta": eta, "--churn": churn, "--guide": guide, "--guidance": guidance},
    )  # fmt: skip
    mix = _plan_mix(balance, to, loaded)
    draw = partial(loaded.sampler, sampler=sampler, grid=grid, eta=eta, churn=churn)
    warn_of_overshoot(loaded, draw(steps=number), again=lambda steps: draw(steps=steps))
    order = _Order(
        model=loaded,
        sampler=draw(steps=number),
        guidance=build_flags(loaded, model, guidance=guidance, guidance_interval=guidance_interval, guide=guide),
        wanted=plan_images(
            loaded.spec.classes, count=count, label=class_, per_class=per_class,
            missing=None if mix is None else mix.labels, seeds=seeds,
        ),
        form=partial(enlarged, height=size, method=upsample),
        upsample="" if size in (None, loaded.spec.size[0]) else upsample,
        subdirs=subdirs,
        mix=mix,
        references=reject_copies or balance,
    )  # fmt: skip
    hashes = {name: digest(path) for name, path in (("balance", balance), ("reject_copies", reject_copies)) if path}
    asked = asked_by(flags, model=loaded.sha256, steps=number, guide=order.guidance.weak_id, **hashes)
    work = Work(out=out, asked=asked, items=[item_of(image) for image in order.wanted])
    real = [path for path in (balance, reject_copies) if path]
    claim = work.claim(overwrite=overwrite, inputs=real, used=[model])
    if claim is not None and not dry_run:
        detector = order.detector()
        with work.share(mine) as share:
            _write_images(order, share, detector, batch=batch)
        with work.finishing(claim) as finished:
            if finished is not None:
                _finish(order, finished, detector, source=model, guide=guide, asked=asked)
    say(f"{work.told()}: {order.told()}")
    summary = read_summary(out) if work.is_done() else {}
    for sentence in summary.get("reading", ()):
        say(sentence)
    return {"samples": str(out), "images": order.totals, "network_calls": order.calls, **summary}


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What is to be made.

    Attributes:
        model: the model.
        sampler: how each image is drawn.
        guidance: away from what.
        wanted: the images.
        form: brings pixels to the size of the files.
        upsample: how, if they are enlarged; else empty.
        subdirs: whether files lie in folders of a thousand.
        mix: the real images that go with them.
        references: the dataset whose copies are rejected.
    """

    model: Model
    sampler: Sampler
    guidance: Guidance
    wanted: Sequence[Wanted]
    form: Callable[[np.ndarray], np.ndarray]
    upsample: str
    subdirs: bool
    mix: Mix | None
    references: Path | None

    @property
    def totals(self) -> dict[str, int]:
        """Images by class."""
        return dict(Counter(label_of(image) for image in self.wanted))

    @cached_property
    def calls(self) -> int:
        """Network calls for each image."""
        return self.model.calls(self.sampler, self.guidance)

    @property
    def files(self) -> dict[int, str]:
        """The file of each image by its number."""
        below = "" if self.mix is None else MADE
        return files_of(self.wanted, channels=self.model.spec.channels, below=below, subdirs=self.subdirs)

    def detector(self) -> CopyDetector | None:
        """What compares the images with real ones."""
        if self.references is None:
            return None
        return build_detector(self.references, self.model.spec, device=str(self.model.device))

    def draw(self, wanted: Sequence[Wanted]) -> Iterator[Made]:
        """Some of the images."""
        return make(self.model, self.sampler, wanted, guidance=self.guidance, batch=len(wanted), tell=say)

    def told(self) -> str:
        """In words."""
        images = f"{counted(len(self.wanted), 'image')} of {counted(self.calls, 'network call')} each"
        classes = ", ".join(f"{number} {label}" for label, number in self.totals.items())
        return f"{images} ({classes})" if self.model.spec.classes else images


def load_generator(path: Path) -> Model:
    """A model that makes images, on the device of this process.

    Raises:
        UsageError: it was trained for another job.
    """
    model = load_model(path, device=set_up())
    if model.recipe.task != "generate":
        raise UsageError(f"{path} was trained to segment images, not to make them", remedy="sfumato segment ...")
    if model.layout.paired:
        raise UsageError(f"{path} was trained to make {model.layout.told}", remedy="sfumato pair ...")
    return model


def _plan_mix(balance: Path | None, to: Level, model: Model) -> Mix | None:
    """What `--balance` asks for, shown before anything is made."""
    if balance is None:
        if to != "max":
            raise UsageError(f"--to {to} without --balance", expected="--balance DATASET --to max, or a number")
        return None
    mix = Mix.of(balance, model.spec, to=to)
    for line in mix.told():
        say(line)
    return mix


def _write_images(order: _Order, share: Share, detector: CopyDetector | None, *, batch: int) -> None:
    """A file each; those of the sheets are kept as they were made."""
    files, shown, todo = order.files, pictured(order.wanted), set(share.todo)
    wanted = [image for image in order.wanted if item_of(image) in todo]
    with bar("generating", total=len(wanted)) as progress:
        drawn = draw_kept(order.draw, wanted, detector, batch=batch)
        for done, (outcome, made) in enumerate(drawn, start=1):
            if outcome.kept:
                path = share.files / files[outcome.wanted.number]
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, order.form(made.image), text=_text(order, outcome.wanted))
                if outcome.wanted.number in shown:
                    np.save(share.aside / f"{item_of(outcome.wanted)}.npy", made.image)
            share.note(item_of(outcome.wanted), **outcome.facts())
            progress.update(done)


def _finish(order: _Order, finished: Finished, detector: CopyDetector | None, *, source: Path, **words: Any) -> None:
    """What is about all images: manifest, summary, sheets, process, provenance."""
    folder = finished.files
    outcomes = [Outcome.of(image, facts) for image, facts in zip(order.wanted, finished.facts, strict=True)]
    kept = [outcome for outcome in outcomes if outcome.kept]
    _write_manifest(order, kept, folder)
    _write_summary(order, outcomes, detector, folder)
    write_sheets(order.wanted, folder, finished.aside)
    with spared("the process"):
        _write_process(order, folder)
    words |= {"drawn": drawn_by(order.sampler, order.guidance)}
    inputs = {"model": source} | ({} if order.references is None else {"references": order.references})
    inputs |= {} if order.mix is None else {"real": order.mix.folder}
    write_provenance(folder, inputs=inputs, model=order.model.told, **words)


def _write_manifest(order: _Order, kept: Sequence[Outcome], folder: Path) -> None:
    """Real images first, if there are any, then those that were made."""
    files, sha256 = order.files, order.model.sha256
    real = [] if order.mix is None else order.mix.write(folder, order.form)
    split = None if order.mix is None else "train"
    made = [
        Case(
            id=files[image.number].rpartition(".")[0], image=str(folder / files[image.number]), label=image.label,
            split=split, origin="synthetic", source=sha256,
        )
        for image, *_ in kept
    ]  # fmt: skip
    same = {**drawn_by(order.sampler, order.guidance), "upsample": order.upsample}
    rows = [
        {"file": files[image.number], "seed": image.seed, **same, "model": sha256, **said} for image, said, *_ in kept
    ]
    names = list(rows[0]) if rows else ["file", "seed"]
    extra = {name: [*[""] * len(real), *(row[name] for row in rows)] for name in names}
    write_manifest(folder / "manifest.csv", [*real, *made], extra=extra)


def _write_summary(order: _Order, outcomes: Sequence[Outcome], detector: CopyDetector | None, folder: Path) -> None:
    """How many there are and what was found, and the copies that were rejected."""
    rejected = rejections(outcomes)
    reading = [] if detector is None else [told(outcomes, detector)]
    reading += [] if order.mix is None else [order.mix.reading()]
    summary = {
        "kind": "samples",
        "images": dict(Counter(label_of(outcome.wanted) for outcome in outcomes if outcome.kept)),
        "network_calls": order.calls,
        "rejected": len(rejected),
        "left_out": [item_of(outcome.wanted) for outcome in outcomes if not outcome.kept],
        "reading": reading,
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    if rejected:
        write_records(folder / "rejected.csv", rejected)


def _text(order: _Order, image: Wanted) -> dict[str, str]:
    about = {"seed": str(image.seed), "class": label_of(image), "upsample": order.upsample}
    return made_by(order.model, order.sampler, about, guidance=order.guidance).texts()


def _write_process(order: _Order, folder: Path) -> None:
    """The first image while it is made and while it is noised, as a strip and as an animation."""
    process, first = order.model.process, order.wanted[0]
    steps = make_steps(order.model, order.sampler, [first], guidance=order.guidance)
    shown = film(process, list(watched(process, steps, order.sampler.steps)), 0, seed=first.seed)
    sheet, moving = film_pictures(shown.steps, *(list(to_uint8(torch.stack(kind))) for kind in shown[1:]))
    (folder / "progression.png").write_bytes(sheet)
    (folder / "progression.gif").write_bytes(moving)
