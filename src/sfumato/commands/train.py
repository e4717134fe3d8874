"""`sfumato train segment`, `sfumato train generate`, `sfumato resume`: the same command again continues a run."""

from pathlib import Path
from typing import Any

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Index, Positive
from sfumato.commands.flags.source import AS_FOUND, SourceFlags
from sfumato.commands.flags.words import changes_of
from sfumato.experiment.run import Run
from sfumato.experiment.source import Reading
from sfumato.experiment.training_log import following
from sfumato.progress import say
from sfumato.recipe import LabelKind, Pairs, PlanPreset, TaskKind
from sfumato.verbs import train as verbs
from sfumato.verbs.train import Length, Planned, Trained, Training, parse_controls


def segment(
    source: Path,
    /,
    *,
    flags: SourceFlags = AS_FOUND,
    out: Path | None = None,
    recipe: Path | None = None,
    preset: PlanPreset | None = None,
    init: str | None = None,
    set: list[str] | None = None,  # noqa: A002 - the flag is --set
    size: str | None = None,
    batch: Count | None = None,
    minutes: Positive | None = None,
    steps: Count | None = None,
    images: Count | None = None,
    epochs: Positive | None = None,
    twin: bool = False,
    controls: str | None = None,
    seed: Index | None = None,
    device: Device = "auto",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train a diffusion model of masks, conditioned on the image.

    Args:
        source: Images or volumes with masks in any form that prepare reads, or a prepared dataset.
        flags: How to read the source.
        out: The run folder; the same command again resumes it. By default runs/NAME-segment.
        recipe: A recipe file (YAML).
        preset: How far the plan goes where nothing is said: fast, auto or best.
        init: Start from this model: a run, a model.safetensors, a diffusers folder or OWNER/NAME on the hub.
        set: Settings over the recipe, like train.batch=8; may be repeated.
        size: Height and width in pixels, like 64 or 96x128.
        batch: Global batch size, whatever the number of processes.
        minutes: Length of the training in minutes; beside another length a ceiling: whichever comes first.
        steps: Length in steps.
        images: Length in images.
        epochs: Length in walks through the training images.
        twin: Also train the deterministic twin for as many steps, in RUN/twin: the baseline for every number.
        controls: What else to train for as many steps, in RUN/NAME: twin, ssn (readings in one call), or twin,ssn.
        seed: Of weights, data order and noise.
        device: Where to work.
        dry_run: Read the data, refuse what would be refused, say what would be trained, and write nothing.
    """
    training = Training(
        recipe=recipe,
        preset=preset,
        init=init,
        settings=set or (),
        twin=twin,
        controls=parse_controls(controls),
        changes=changes_of(size, seed, batch=batch, minutes=minutes, steps=steps, images=images, epochs=epochs),
    )
    return _train("segment", source, out, flags, training, device, dry_run=dry_run)


def generate(
    source: Path,
    /,
    *,
    flags: SourceFlags = AS_FOUND,
    out: Path | None = None,
    recipe: Path | None = None,
    preset: PlanPreset | None = None,
    init: str | None = None,
    set: list[str] | None = None,  # noqa: A002 - the flag is --set
    pairs: Pairs | None = None,
    cond: LabelKind | None = None,
    size: str | None = None,
    batch: Count | None = None,
    minutes: Positive | None = None,
    steps: Count | None = None,
    images: Count | None = None,
    epochs: Positive | None = None,
    few_calls: Count | None = None,
    seed: Index | None = None,
    device: Device = "auto",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Train a diffusion model of images, conditioned on the class where there are classes.

    Args:
        source: Images or volumes in any form that prepare reads, or a prepared dataset.
        flags: How to read the source.
        out: The run folder; the same command again resumes it. By default runs/NAME-generate.
        recipe: A recipe file (YAML).
        preset: How far the plan goes where nothing is said: fast, auto or best.
        init: Start from this model: a run, a model.safetensors, a diffusers folder or OWNER/NAME on the hub.
        set: Settings over the recipe, like train.batch=8; may be repeated.
        cond: What the model is told of an image: its class, where there are classes (class), or nothing (none).
        pairs: What to make of images with masks, for pair: both at once (joint), image_from_mask, or the mask alone.
        size: Height and width in pixels, like 64 or 96x128.
        batch: Global batch size, whatever the number of processes.
        minutes: Length of the training in minutes; beside another length a ceiling: whichever comes first.
        steps: Length in steps.
        images: Length in images.
        epochs: Length in walks through the training images.
        few_calls: Teach a flow to draw in so many network calls, such as 2, in the second half of the training; with
            --init RUN, of a flow, in all of it.
        seed: Of weights, data order and noise.
        device: Where to work.
        dry_run: Read the data, refuse what would be refused, say what would be trained, and write nothing.
    """
    changes = changes_of(
        size, seed, batch=batch, minutes=minutes, steps=steps, images=images, epochs=epochs, few_calls=few_calls
    )
    changes |= {f"data.{name}": word for name, word in (("pairs", pairs), ("labels", cond)) if word is not None}
    training = Training(recipe=recipe, preset=preset, init=init, settings=set or (), changes=changes)
    return _train("generate", source, out, flags, training, device, dry_run=dry_run)


def resume(
    folder: Path,
    /,
    *,
    out: Path | None = None,
    until_steps: Count | None = None,
    until_images: Count | None = None,
    until_epochs: Positive | None = None,
    more_minutes: Positive | None = None,
    dataset: Path | None = None,
    device: Device = "auto",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Continue a run from the newest good checkpoint, with the same bits as if it had never stopped; its twin as far.

    Args:
        folder: The run folder; or one of its checkpoints, RUN/checkpoints/step-00001000 or RUN/checkpoints/best.
        out: A folder for a run of its own that goes on from there; needed for a chosen checkpoint.
        until_steps: Train to this many steps, also beyond the end that the run was given.
        until_images: Train to this many images.
        until_epochs: Train to this many walks through the training images.
        more_minutes: Train this much longer than the run was given; for a run that is measured in minutes.
        dataset: Where the dataset of the run lies now, if it was moved; its content must be the same.
        device: Where to work.
        dry_run: Only say what would be continued.
    """
    length = Length(
        until_steps=until_steps, until_images=until_images, until_epochs=until_epochs, more_minutes=more_minutes
    )
    if dry_run:
        return _told(verbs.plan_resume(folder, out=out, length=length, dataset=dataset, device=device))
    return _ended(verbs.resume(folder, out=out, length=length, dataset=dataset, device=device))


def _train(
    task: TaskKind,
    source: Path,
    out: Path | None,
    reading: Reading,
    training: Training,
    device: Device,
    *,
    dry_run: bool,
) -> dict[str, Any]:
    """Train, or say what would be trained."""
    run = out or Path("runs") / f"{source.stem}-{task}"
    if dry_run:
        return _told(verbs.plan(task, source, out=run, reading=reading, training=training, device=device))
    return _ended(verbs.train(task, source, out=run, reading=reading, training=training, device=device))


def _ended(trained: Trained) -> dict[str, Any]:
    """The result, once the next command was said."""
    say(following(Run(trained.folder)))
    return trained.summary


def _told(planned: Planned) -> dict[str, Any]:
    """What a dry run says: cases, and every choice with its reason."""
    for note in planned.notes:
        say(f"note: {note}")
    say(f"would train {planned.task} on {planned.cases} cases into {planned.folder}")
    for choice in planned.choices:
        say(choice.line())
    return {
        "run": str(planned.folder),
        "cases": planned.cases,
        "plan": [choice._asdict() for choice in planned.choices],
        "resumes": planned.resumes,
    }
