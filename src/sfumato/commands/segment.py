"""`sfumato segment`: masks, probabilities, uncertainty, ensembles, and which cases to review first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Index
from sfumato.commands.flags.sampling import AS_TRAINED, SamplingFlags
from sfumato.commands.flags.words import parse_shard
from sfumato.data.formats.dicom.file import is_dicom
from sfumato.data.units import MaskFormat
from sfumato.errors import DataError, UsageError
from sfumato.evaluation.postprocess_choice import Postprocess
from sfumato.experiment.claim import free_name
from sfumato.experiment.mask_sampling import StartKind
from sfumato.experiment.output_folder import check_output
from sfumato.outputs.predictions import Writing, parse_extras
from sfumato.progress import say
from sfumato.reporting.sections.predictions import BY_CHANCE, ranks_by_chance
from sfumato.training.processes import choose_device
from sfumato.verbs.segment import MASKS_AT_ONCE, Segmenter, Split
from sfumato.verbs.segment import segment as _segment

_LINKED = "the DICOM segmentations belong to the studies of their images: they hold patient and study of these"
_NOT_LINKED = (
    "the DICOM segmentations hold no patient, study or reference, so archives and many viewers do not lay them over "
    "their series; with --link they do"
)


def segment(
    model: Path,
    source: Path | None = None,
    /,
    *more: Path,
    out: Path,
    samples: Count | None = None,
    sampling: SamplingFlags = AS_TRAINED,
    start: StartKind | None = None,
    tta: bool = False,
    split: Split | None = None,
    save: str = "probability,uncertainty,overlay,members,process",
    format: MaskFormat = "same",  # noqa: A002 - the flag is --format
    link: bool = False,
    postprocess: Postprocess = "none",
    seed: Index = 0,
    batch: Count = MASKS_AT_ONCE,
    device: Device = "auto",
    shard: str | None = None,
    interactive: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Write for each image or volume, in its own size and geometry: mask, probability, uncertainty; order of review.

    The same command again continues what was stopped. Under torchrun each process does a share of the images.

    Args:
        model: A run folder or a model.safetensors. If the run has controls, their masks go to OUT/twin and OUT/ssn.
        source: An image, a volume, a folder of either, a DICOM series, or a dataset.
        more: Where several models are given, such as run-fold*, the source is the last one: each model draws as many
            members, and their mean decides.
        out: The folder to write.
        samples: Members of the ensemble; more than one also writes members/.
        sampling: How each member is drawn.
        start: noise; or twin: the mask of the run's deterministic twin, corrupted to the critical log-SNR (2-4 steps).
        tta: Each member sees the image flipped or turned another way: also an ensemble of a deterministic model.
        split: Only the cases of this split of a dataset.
        save: What to write besides masks: any of probability, uncertainty, information, overlay, members, process; or
            none.
        format: same: volumes as NIfTI, DICOM as DICOM segmentation; nii: DICOM as NIfTI too; png: every plane a PNG.
        link: Write patient, study and references of the DICOM images into their segmentations, so that a viewer or PACS
            lays them over their series. Otherwise nothing of these tags is written.
        postprocess: auto: each class of a mask keeps its largest component, has its holes filled, or loses its small
            components, where that raised the Dice of validation cases; none: masks stay as drawn.
        seed: With the case's name it decides the noise: a case gets the same mask in any company.
        batch: Masks drawn at once; bounds the memory.
        device: Where to work.
        shard: Only this share of the images or volumes, like 0/4; who comes last completes the folder. Any machine that
            sees it can do any share, again and again.
        interactive: Ask for one image after another.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be read and written.
    """
    writing = Writing(save=parse_extras(save), form=format, link=link)
    models, source = _models(model, source, more, interactive=interactive)
    if interactive:
        if shard is not None:
            raise UsageError("--shard with --interactive", expected="one of the two")
        choose_device(device)
        segmenter = Segmenter.of(
            models,
            samples=samples,
            sampling=sampling,
            start=start,
            tta=tta,
            seed=seed,
            batch=batch,
            postprocess=postprocess,
        )
        writing.check(segmenter.drawing.count)
        return _ask(segmenter, out, writing, overwrite=overwrite)
    if source is None:
        raise UsageError("no image to segment", expected="sfumato segment MODEL SOURCE --out DIR, or --interactive")
    predicted = _segment(
        models,
        source,
        out=out,
        samples=samples,
        sampling=sampling,
        start=start,
        tta=tta,
        seed=seed,
        split=split,
        writing=writing,
        postprocess=postprocess,
        batch=batch,
        device=device,
        shard=parse_shard(shard),
        overwrite=overwrite,
        dry_run=dry_run,
    )
    if format == "same" and any(unit.volume and is_dicom(unit.volume) for unit in predicted.units):
        say(_LINKED if link else _NOT_LINKED)
    if "review_first" in predicted.summary:
        say(_look_first(predicted.summary))
    return {
        "predictions": str(out),
        "cases": len(predicted.units),
        "network_calls": predicted.network_calls,
        **predicted.summary,
    }


def _models(
    model: Path, source: Path | None, more: tuple[Path, ...], *, interactive: bool
) -> tuple[Path | list[Path], Path | None]:
    """The models and the source, which is the last one where somebody is not asked for it."""
    if interactive:
        return ([model, source, *more] if source else model), None
    return ([model, source, *more[:-1]], more[-1]) if source and more else (model, source)


def _look_first(summary: Mapping[str, Any]) -> str:
    if summary["review_first"]:
        by = BY_CHANCE if ranks_by_chance(summary["review"]) else ""
        return f"look first at {', '.join(summary['review_first'])}{by}"
    return f"no case is to be looked at before another: {summary['review']['why']}"


def _ask(segmenter: Segmenter, out: Path, writing: Writing, *, overwrite: bool) -> dict[str, Any]:
    """One image after another, each into a folder of its own; an empty line ends."""
    check_output(out, overwrite=overwrite)
    done: list[str] = []
    while (answer := _question("image (empty to end): ")) != "":
        path = Path(answer).expanduser()
        try:
            place = free_name(out / path.stem)
            segmenter.write(path, place, writing)
        except (DataError, UsageError) as error:
            say(str(error))
            continue
        done.append(str(place))
        say(f"written to {place}")
    return {"predictions": done}


def _question(prompt: str) -> str:
    """A line from the person; empty at the end of input."""
    from rich.prompt import Prompt

    from sfumato.commands.output.console import console

    try:
        return Prompt.ask(prompt.rstrip(": "), console=console, default="", show_default=False).strip()
    except (EOFError, OSError):  # the end of the input, or of the terminal
        return ""
