"""Images of the asked classes, a PNG or TIFF each, with a manifest and preview grids."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sfumato.data.formats.image import write_image
from sfumato.data.manifest import Case, write_manifest
from sfumato.errors import UsageError
from sfumato.evaluation.balance import BalanceTarget
from sfumato.evaluation.balance_mix import MADE, BalancePlan
from sfumato.evaluation.copies import CopyDetector
from sfumato.evaluation.copies.rejection import Outcome, build_detector, draw_kept, rejection_sentence, rejections
from sfumato.experiment.inference import GeneratedImage, SampleRequest, make, make_steps
from sfumato.experiment.pictures import spared_picture
from sfumato.experiment.run import Model
from sfumato.experiment.sample_requests import plan_images
from sfumato.experiment.sampling import AS_TRAINED, IMAGES_AT_ONCE, Drawing, Sampling
from sfumato.experiment.sharded_job import Finished, ShardedJob, ShardTask, asked_by, own_shard
from sfumato.outputs.origin import drawn_by, made_by
from sfumato.outputs.samples import Enlarging, enlarged, item_of, label_of, pictured, sample_files, write_sheets
from sfumato.outputs.summary import read_summary
from sfumato.progress import bar, say
from sfumato.provenance import digest, write_provenance
from sfumato.reporting.figures import film_pictures
from sfumato.tables import write_records
from sfumato.tasks.task import to_uint8
from sfumato.tasks.trajectory import recorded, trajectory
from sfumato.training.processes import choose_device
from sfumato.verbs.opened import opened_model, origin_of, path_or_none
from sfumato.wording import counted


@dataclass(frozen=True)
class Generated:
    """Images that were made, or would be.

    Attributes:
        folder: a dataset: the images in folders of their classes, manifest.csv, summary.json, preview grids.
        images: how many by class.
        network_calls: for each image.
        summary: what summary.json holds: how many were kept, what was rejected and left out; empty while other shards
            are at work, and of what would be made.
    """

    folder: Path
    images: Mapping[str, int]
    network_calls: int
    summary: Mapping[str, Any]


def generate(
    model: Model | Path | str,
    *,
    out: Path | str,
    count: int | None = None,
    label: str | None = None,
    per_class: Mapping[str, int] | str | None = None,
    seeds: Sequence[int] | None = None,
    balance: Path | str | None = None,
    to: BalanceTarget = "max",
    reject_copies: Path | str | None = None,
    sampling: Sampling = AS_TRAINED,
    size: int | None = None,
    upsample: Enlarging = "bicubic",
    subdirs: bool = False,
    batch: int = IMAGES_AT_ONCE,
    device: str = "auto",
    shard: tuple[int, int] = (0, 1),
    overwrite: bool = False,
    dry_run: bool = False,
) -> Generated:
    """Make images. The folder is itself a dataset: `prepare` and `train` read it as it is.

    The same call again continues what was stopped. Under torchrun each process makes a share of the images.

    Args:
        model: a run folder, a checkpoint, a model.safetensors, or a model that is loaded.
        out: the folder to write.
        count: how many images, as many as seeds or 64 by default; the classes in turn.
        label: only this class; 'unconditional' for none.
        per_class: how many of each class; also in words like benign=100,malignant=300.
        seeds: one for each image; with the class it decides the image. By default 0, 1, 2, ...
        balance: a prepared dataset: make what its classes lack in the training split, reject copies of its images, and
            write both together: the real images of all splits, the synthetic ones for training.
        to: how many `balance` gives each class: max, as many as the largest class has, or a number.
        reject_copies: a prepared dataset, the model's own: an image that copies one of its training images is drawn
            again from another seed, at most 10 times.
        sampling: how each image is drawn: steps, sampler, guidance.
        size: enlarge images to this height in pixels, keeping their shape.
        upsample: how to enlarge.
        subdirs: put the images of a class into folders of 1,000, for sets of many thousands.
        batch: images made at once; bounds the memory.
        device: auto, cpu, cuda or cuda:N, mps; a model that is loaded stays where it is.
        shard: only this share of the images, like (0, 4); who comes last completes the folder.
        overwrite: replace a folder that is not empty.
        dry_run: write nothing.

    Raises:
        UsageError: the model makes no images, or does not know a class; words exclude each other; `out` holds
            something else.
        ModelError: it draws NaN.
        ResourceError: memory does not hold one image, or the disk is full.
    """
    choose_device(device)
    mine, out = own_shard(shard), Path(out)
    balance, reject_copies = path_or_none(balance), path_or_none(reject_copies)
    loaded, path = load_generator(model), origin_of(model)
    drawing = sampling.of(loaded, path, batch=batch)
    mix = _plan_mix(balance, to, loaded)
    order = _Order(
        model=loaded,
        drawing=drawing,
        wanted=plan_images(
            loaded.spec.classes,
            count=count,
            label=label,
            per_class=per_class,
            missing=None if mix is None else mix.labels,
            seeds=seeds,
        ),
        form=partial(enlarged, height=size, method=upsample),
        upsample="" if size in (None, loaded.spec.common_size[0]) else upsample,
        subdirs=subdirs,
        mix=mix,
        references=reject_copies or balance,
    )
    real = {name: file for name, file in (("balance", balance), ("reject_copies", reject_copies)) if file}
    asked = asked_by(
        {
            "count": count,
            "class": label,
            "per_class": per_class,
            "seeds": seeds,
            "to": to,
            **sampling.asked(drawing),
            "size": size,
            "upsample": upsample,
            "subdirs": subdirs,
        },
        model=loaded.sha256,
        **{name: digest(file) for name, file in real.items()},
    )
    work = ShardedJob(out=out, asked=asked, items=[item_of(image) for image in order.wanted])
    claim = work.claim(overwrite=overwrite, inputs=list(real.values()), used=[path])
    if claim is not None and not dry_run:
        detector = order.detector()
        with work.share(mine) as share:
            _write_images(order, share, detector, batch=batch)
        with work.finishing(claim) as finished:
            if finished is not None:
                _finish(order, finished, detector, source=path, asked=asked)
    say(f"{work.progress_text()}: {order.sentence()}")
    return Generated(out, order.totals, order.drawing.calls, read_summary(out) if work.is_done() else {})


def load_generator(model: Model | Path | str) -> Model:
    """A model that makes images and no masks beside them, on the device of this process.

    Raises:
        UsageError: it was trained for another job.
    """
    loaded, path = opened_model(model), origin_of(model)
    if loaded.recipe.task != "generate":
        raise UsageError(f"{path} was trained to segment images, not to make them", remedy="sfumato segment ...")
    if loaded.layout.paired:
        raise UsageError(f"{path} was trained to make {loaded.layout.contents}", remedy="sfumato pair ...")
    return loaded


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What is to be made.

    Attributes:
        model: the model.
        drawing: how each image is drawn.
        wanted: the images.
        form: brings pixels to the size of the files.
        upsample: how, if they are enlarged; else empty.
        subdirs: whether files lie in folders of a thousand.
        mix: the real images that go with them.
        references: the dataset whose copies are rejected.
    """

    model: Model
    drawing: Drawing
    wanted: Sequence[SampleRequest]
    form: Callable[[np.ndarray], np.ndarray]
    upsample: str
    subdirs: bool
    mix: BalancePlan | None
    references: Path | None

    @property
    def totals(self) -> dict[str, int]:
        """Images by class."""
        return dict(Counter(label_of(image) for image in self.wanted))

    @property
    def files(self) -> dict[int, str]:
        """The file of each image by its number."""
        below = "" if self.mix is None else MADE
        return sample_files(self.wanted, channels=self.model.spec.channels, below=below, subdirs=self.subdirs)

    def detector(self) -> CopyDetector | None:
        """What compares the images with real ones."""
        if self.references is None:
            return None
        return build_detector(self.references, self.model.spec, device=str(self.model.device))

    def draw(self, wanted: Sequence[SampleRequest]) -> Iterator[GeneratedImage]:
        """Some of the images."""
        return make(
            self.model, self.drawing.sampler, wanted, guidance=self.drawing.guidance, batch=len(wanted), tell=say
        )

    def sentence(self) -> str:
        """In words."""
        images = f"{counted(len(self.wanted), 'image')} of {counted(self.drawing.calls, 'network call')} each"
        classes = ", ".join(f"{number} {label}" for label, number in self.totals.items())
        return f"{images} ({classes})" if self.model.spec.classes else images


def _plan_mix(balance: Path | None, to: BalanceTarget, model: Model) -> BalancePlan | None:
    """What a dataset to balance asks for, said before anything is made."""
    if balance is None:
        if to != "max":
            raise UsageError(f"--to {to} without --balance", expected="--balance DATASET --to max, or a number")
        return None
    mix = BalancePlan.of(balance, model.spec, to=to)
    for line in mix.lines():
        say(line)
    return mix


def _write_images(order: _Order, share: ShardTask, detector: CopyDetector | None, *, batch: int) -> None:
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
    with spared_picture("the process"):
        _write_process(order, folder)
    words |= {"drawn": drawn_by(order.drawing)}
    inputs = {"model": source} | ({} if order.references is None else {"references": order.references})
    inputs |= {} if order.mix is None else {"real": order.mix.folder}
    write_provenance(folder, inputs=inputs, model=order.model.provenance, **words)


def _write_manifest(order: _Order, kept: Sequence[Outcome], folder: Path) -> None:
    """Real images first, if there are any, then those that were made."""
    files, sha256 = order.files, order.model.sha256
    real = [] if order.mix is None else order.mix.write(folder, order.form)
    split = None if order.mix is None else "train"
    made = [
        Case(
            id=files[image.number].rpartition(".")[0],
            image=str(folder / files[image.number]),
            label=image.label,
            split=split,
            origin="synthetic",
            source=sha256,
        )
        for image, *_ in kept
    ]
    same = {**drawn_by(order.drawing), "upsample": order.upsample}
    rows = [
        {"file": files[image.number], "seed": image.seed, **same, "model": sha256, **said} for image, said, *_ in kept
    ]
    names = list(rows[0]) if rows else ["file", "seed"]
    extra = {name: [*[""] * len(real), *(row[name] for row in rows)] for name in names}
    write_manifest(folder / "manifest.csv", [*real, *made], extra=extra)


def _write_summary(order: _Order, outcomes: Sequence[Outcome], detector: CopyDetector | None, folder: Path) -> None:
    """How many there are and what was found, and the copies that were rejected."""
    rejected = rejections(outcomes)
    reading = [] if detector is None else [rejection_sentence(outcomes, detector)]
    reading += [] if order.mix is None else [order.mix.reading()]
    summary = {
        "kind": "samples",
        "images": dict(Counter(label_of(outcome.wanted) for outcome in outcomes if outcome.kept)),
        "network_calls": order.drawing.calls,
        "rejected": len(rejected),
        "left_out": [item_of(outcome.wanted) for outcome in outcomes if not outcome.kept],
        "reading": reading,
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    if rejected:
        write_records(folder / "rejected.csv", rejected)


def _text(order: _Order, image: SampleRequest) -> dict[str, str]:
    about = {"seed": str(image.seed), "class": label_of(image), "upsample": order.upsample}
    return made_by(order.model, order.drawing, about).texts()


def _write_process(order: _Order, folder: Path) -> None:
    """The first image while it is made and while it is noised, as a strip and as an animation."""
    process, first = order.model.process, order.wanted[0]
    steps = make_steps(order.model, order.drawing.sampler, [first], guidance=order.drawing.guidance)
    shown = trajectory(process, list(recorded(process, steps, order.drawing.sampler.steps)), 0, seed=first.seed)
    decode = order.model.representation.decode
    sheet, moving = film_pictures(shown.steps, *(list(to_uint8(decode(torch.stack(kind)))) for kind in shown[1:]))
    (folder / "progression.png").write_bytes(sheet)
    (folder / "progression.gif").write_bytes(moving)
