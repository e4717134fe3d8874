"""Images with their masks, as a dataset to train segmenters on.

Attempts are made in the order of their seeds until enough are kept, so those that are finished are always the first
ones, and the same command goes on after them.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.data.dataset import Dataset
from sfumato.data.manifest import is_prepared
from sfumato.errors import ModelError, UsageError
from sfumato.evaluation.pairs.check import Check, check_fits
from sfumato.evaluation.pairs.making import Maker
from sfumato.evaluation.pairs.sources import ChangedMasks, MaskSource, SampledMasks
from sfumato.evaluation.refusal import refuse_constant
from sfumato.experiment.inference import SampleRequest
from sfumato.experiment.run import Model, Run, load_model
from sfumato.experiment.sample_requests import known_class
from sfumato.experiment.sampling import AS_TRAINED, IMAGES_AT_ONCE, Sampling
from sfumato.experiment.sharded_job import ItemFacts, Shard, ShardedJob, ShardTask, asked_by
from sfumato.outputs.pairs import SHOWN, pair_facts, write_pair, write_tables
from sfumato.outputs.samples import item_of
from sfumato.outputs.summary import read_summary
from sfumato.progress import bar, say
from sfumato.provenance import digest, write_provenance
from sfumato.training.processes import choose_device
from sfumato.verbs.opened import opened_model, origin_of, path_or_none
from sfumato.wording import counted

_TRIES = 10
"""Attempts for each pair that is asked for, unless `--attempts` says otherwise."""


@dataclass(frozen=True)
class Paired:
    """Pairs that were made, or would be.

    Attributes:
        folder: a dataset: images/ and masks/, manifest.csv, summary.json, sheets.
        count: how many were asked for.
        attempts: how many are made at most.
        network_calls: for each attempt.
        summary: what summary.json holds: how many were kept, by which threshold; empty of what would be made.
    """

    folder: Path
    count: int
    attempts: int
    network_calls: int
    summary: Mapping[str, Any]


def pair(
    model: Model | Path | str,
    *,
    out: Path | str,
    count: int = 200,
    masks: Path | str | None = None,
    change: float | None = None,
    segmenter: Path | str | None = None,
    quantile: float | None = None,
    attempts: int | None = None,
    rejected: bool = False,
    label: str | None = None,
    seed: int = 0,
    sampling: Sampling = AS_TRAINED,
    subdirs: bool = False,
    batch: int = IMAGES_AT_ONCE,
    device: str = "auto",
    overwrite: bool = False,
    dry_run: bool = False,
) -> Paired:
    """Make images with masks. The folder is itself a dataset: `prepare`, `train segment` and `prove` read it as it is.

    A segmenter that was trained on real images reads each image, and the pair is kept where it agrees with the mask as
    well as with real ones. The same call again continues what was stopped.

    Args:
        model: A run of train generate --pairs joint or image_from_mask, or its model.safetensors.
        out: the folder to write.
        count: how many pairs to keep.
        masks: where masks to make images from come from: a run of train generate --pairs mask, or a prepared dataset,
            whose training masks are changed; by default the dataset of the run.
        change: how far real masks are changed; 1, the default, is as far as augmentation of a segmenter goes.
        segmenter: A run of train segment on the same data, diffusion or twin; without it all pairs are kept.
        quantile: share of real validation cases on which the segmenter may do worse than on the worst pair that is
            kept; 0.1 by default.
        attempts: most attempts; by default 10 for each pair.
        rejected: also write the pairs that were not kept, into rejected/.
        label: only this class; 'unconditional' for none.
        seed: of the first attempt; the next ones have the numbers after it. A seed and a class are one pair.
        sampling: how each pair is drawn: steps, sampler, guidance away from 'no mask' and 'no class'.
        subdirs: put images and masks into folders of 1,000, for sets of many thousands.
        batch: pairs made at once; bounds the memory.
        device: auto, cpu, cuda or cuda:N, mps; a model that is loaded stays where it is.
        overwrite: replace a folder that is not empty.
        dry_run: write nothing.

    Raises:
        UsageError: the model makes no pairs, the segmenter or the masks are of other data, `out` holds something else.
        ModelError: the segmenter is no better than a constant mask, or not one attempt was kept.
    """
    choose_device(device)
    if count < 1 or (attempts is not None and attempts < count):
        raise UsageError(f"--count {count} with --attempts {attempts}", expected="a pair or more, each an attempt")
    if quantile is not None and segmenter is None:
        raise UsageError("--quantile without a segmenter", remedy="--segmenter RUN, or leave it out")
    out, masks, segmenter = Path(out), path_or_none(masks), path_or_none(segmenter)
    loaded, path = load_pair_model(model), origin_of(model)
    drawing = sampling.of(loaded, path, batch=batch)
    maker = Maker(
        model=loaded,
        drawing=drawing,
        masks=_mask_source(loaded, path, masks, change),
        check=None if segmenter is None else _check(loaded, segmenter, 0.1 if quantile is None else quantile),
    )
    order = _Order(
        maker=maker, wanted=_plan(loaded, attempts or _TRIES * count, label, seed), count=count, subdirs=subdirs
    )
    asked = asked_by(
        {
            "count": count,
            "change": change,
            "quantile": quantile,
            "attempts": attempts,
            "rejected": rejected,
            "class": label,
            "seed": seed,
            **sampling.asked(drawing),
            "subdirs": subdirs,
        },
        model=loaded.sha256,
        **{name: _hash(file) for name, file in (("masks", masks), ("segmenter", segmenter)) if file},
    )
    work = ShardedJob(out=out, asked=asked, items=[item_of(each) for each in order.wanted])
    inputs = {name: file for name, file in (("model", path), ("masks", masks), ("segmenter", segmenter)) if file}
    claim = work.claim(overwrite=overwrite, inputs=list(inputs.values()))
    if claim is not None and not dry_run:
        with work.share(Shard(0, 1)) as share:
            _attempt(order, share, done=work.finished(), batch=batch, rejected=rejected)
        _refuse_nothing(work.finished())
        with replace(work, items=[*work.finished()]).finishing(claim) as finished:
            if finished is not None:
                write_tables(maker, finished, count=count, rejected=rejected, subdirs=subdirs)
                write_provenance(finished.files, inputs=inputs, seed=seed, model=loaded.provenance, asked=asked)
    return Paired(out, count, len(order.wanted), maker.calls, {} if dry_run else read_summary(out))


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What is to be made.

    Attributes:
        maker: makes it.
        wanted: the attempts.
        count: pairs to keep.
        subdirs: whether files lie in folders of a thousand.
    """

    maker: Maker
    wanted: Sequence[SampleRequest]
    count: int
    subdirs: bool


def load_pair_model(model: Model | Path | str) -> Model:
    """A model that makes images with masks, on the device of this process.

    Raises:
        UsageError: it makes something else.
    """
    loaded, path = opened_model(model), origin_of(model)
    if loaded.layout.pairs not in ("joint", "image_from_mask"):
        raise UsageError(
            f"{path} makes no pairs: it was trained to {loaded.recipe.task} {loaded.layout.contents}",
            expected="a model of images with masks",
            remedy="sfumato train generate DATASET --pairs joint, or image_from_mask",
        )
    return loaded


def _mask_source(model: Model, path: Path, masks: Path | None, strength: float | None) -> MaskSource | None:
    """Where masks come from; None where they are made with their images.

    Raises:
        UsageError: a flag that would do nothing, a source without masks, or none at all.
    """
    given = [flag for flag, value in {"--masks": masks, "--change": strength}.items() if value is not None]
    if not model.layout.from_mask:
        if given:
            raise UsageError(f"{' and '.join(given)}: {path} makes masks with their images", remedy="leave it out")
        return None
    place = masks or (Run(path).found_dataset() if Run(path).exists() else None)
    if place is None:
        raise UsageError(
            f"{path} makes images from masks, and there are none", remedy="--masks DATASET, or a run of a mask model"
        )
    if is_prepared(place):
        return _changed(model, place, 1.0 if strength is None else strength)
    if strength is not None:
        raise UsageError(f"--change {strength:g} is for real masks, and {place} draws them", remedy="leave it out")
    source = load_model(place, device=str(model.device))
    if source.layout.pairs != "mask":
        raise UsageError(f"{place} makes no masks", expected="a run of train generate --pairs mask, or a dataset")
    check_fits(source, model)
    return SampledMasks(model=source, sampler=source.sampler())


def _changed(model: Model, dataset: Path, strength: float) -> ChangedMasks:
    opened = Dataset.open(dataset)
    theirs, ours = ((spec.common_size, spec.mask_classes) for spec in (opened.spec, model.spec))
    if theirs != ours or opened.spec.ignore:
        raise UsageError(
            f"{dataset} has other masks than {model.name} was trained on",
            expected=f"{' x '.join(map(str, model.spec.common_size))} pixels of {', '.join(model.spec.mask_classes)}",
        )
    source = ChangedMasks(dataset=opened, strength=strength, sha256=digest(dataset) or "")
    say(f"masks of the training split, changed by {source.sentence}")
    return source


def _check(model: Model, segmenter: Path, quantile: float) -> Check:
    """The check by a segmenter on its own dataset."""
    run, reader = Run(segmenter), load_model(segmenter, device=str(model.device))
    if reader.recipe.task != "segment" or not run.exists():
        raise UsageError(f"--segmenter {segmenter}", expected="a run folder of sfumato train segment, with its dataset")
    check_fits(reader, model)
    check = Check.of(reader, Dataset.open(run.found_dataset()), quantile=quantile)
    refuse_constant(check.constant, whom=f"the segmenter {segmenter}", result={"check": check.summary()})
    if check.threshold <= 0:
        raise UsageError(
            f"--quantile {quantile:g} gives a threshold of 0, at which every pair is kept: so many of the "
            f"{counted(len(check.real), 'real case')} does the segmenter miss altogether",
            expected="a larger --quantile",
            remedy="train the segmenter longer, or leave it out",
        )
    below = counted(check.below, "lies", "lie")
    cases = counted(len(check.real), "real validation case")
    say(f"kept at a Dice of {check.threshold:.3f} or more: of {cases}, {below} below (--quantile {quantile:g})")
    return check


def _hash(path: Path) -> str | None:
    """What identifies a dataset or a model."""
    return digest(path) if is_prepared(path) or path.is_file() else load_model(path).sha256


def _plan(model: Model, attempts: int, label: str | None, seed: int) -> list[SampleRequest]:
    """The attempts: a class follows from its seed, so that each can be made again alone."""
    classes = model.spec.classes
    only = None if label is None else known_class(label, classes)
    labels: Sequence[str | None] = [only] if label is not None or not classes else classes
    return [SampleRequest(k, labels[(seed + k) % len(labels)], seed + k) for k in range(attempts)]


def _attempt(order: _Order, share: ShardTask, *, done: Mapping[str, ItemFacts], batch: int, rejected: bool) -> None:
    """Attempts in the order of their seeds until enough are kept; those that are done count."""
    numbers = {True: sum(facts["kept"] for facts in done.values())}
    numbers[False] = len(done) - numbers[True]
    todo = set(share.todo)
    wanted = [image for image in order.wanted if item_of(image) in todo] if numbers[True] < order.count else []
    since = time.perf_counter()
    with bar("making pairs", total=order.count) as progress:
        for each in order.maker.pairs(wanted, batch=batch, tell=say):
            name = item_of(each.wanted)
            if each.kept or rejected:
                folder = share.files if each.kept else share.files / "rejected"
                write_pair(order.maker, each, folder, subdirs=order.subdirs)
            if numbers[each.kept] < SHOWN:
                np.savez(share.aside / f"{name}.npz", image=each.image, mask=each.mask)
            now = time.perf_counter()
            share.note(name, **pair_facts(each), seconds=round(now - since, 4))
            since = now
            numbers[each.kept] += 1
            progress.update(numbers[True], note=f"{numbers[False]} rejected")
            if numbers[True] == order.count:
                break


def _refuse_nothing(done: Mapping[str, ItemFacts]) -> None:
    """A folder without pairs is none.

    Raises:
        ModelError: not one attempt was kept.
    """
    if not any(facts["kept"] for facts in done.values()):
        best = max((facts["dice"] or 0.0 for facts in done.values()), default=0.0)
        raise ModelError(
            f"none of {counted(len(done), 'attempt')} was kept: the best has a Dice of {best:.3f} with the segmenter",
            remedy="train the generator longer, or give more --attempts or a smaller --quantile",
        )
