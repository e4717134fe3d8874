"""`sfumato pair`: images with their masks, as a dataset to train segmenters on."""

from pathlib import Path
from typing import Any

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Index
from sfumato.commands.flags.sampling import AS_TRAINED, SamplingFlags
from sfumato.experiment.sampling import IMAGES_AT_ONCE
from sfumato.progress import say
from sfumato.verbs.pair import Paired
from sfumato.verbs.pair import pair as _pair
from sfumato.wording import counted


def pair(
    model: Path,
    /,
    *,
    out: Path,
    count: Count = 200,
    masks: Path | None = None,
    change: float | None = None,
    segmenter: Path | None = None,
    quantile: float | None = None,
    attempts: Count | None = None,
    rejected: bool = False,
    class_: str | None = None,
    seed: Index = 0,
    sampling: SamplingFlags = AS_TRAINED,
    subdirs: bool = False,
    batch: Count = IMAGES_AT_ONCE,
    device: Device = "auto",
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Make images with masks. The folder is itself a dataset: `prepare`, `train segment` and `prove` read it as it is.

    A segmenter that was trained on real images reads each image, and the pair is kept where it agrees with the mask as
    well as with real ones. The same command again continues what was stopped.

    Args:
        model: A run of train generate --pairs joint or image_from_mask, or its model.safetensors.
        out: The folder to write.
        count: How many pairs to keep.
        masks: Where masks to make images from come from: a run of train generate --pairs mask, or a prepared dataset,
            whose training masks are changed; by default the dataset of the run.
        change: How far real masks are changed; 1, the default, is as far as augmentation of a segmenter goes.
        segmenter: A run of train segment on the same data, diffusion or twin; without it all pairs are kept.
        quantile: Share of real validation cases on which the segmenter may do worse than on the worst pair that is
            kept; 0.1 by default.
        attempts: Most attempts; by default 10 for each pair.
        rejected: Also write the pairs that were not kept, into rejected/.
        class_: Only this class; 'unconditional' for none.
        seed: Of the first attempt; the next ones have the numbers after it. A seed and a class are one pair.
        sampling: How each pair is drawn.
        subdirs: Put images and masks into folders of 1,000, for sets of many thousands.
        batch: Pairs made at once; bounds the memory.
        device: Where to work.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be written.
    """
    paired = _pair(
        model,
        out=out,
        count=count,
        masks=masks,
        change=change,
        segmenter=segmenter,
        quantile=quantile,
        attempts=attempts,
        rejected=rejected,
        label=class_,
        seed=seed,
        sampling=sampling,
        subdirs=subdirs,
        batch=batch,
        device=device,
        overwrite=overwrite,
        dry_run=dry_run,
    )
    if dry_run:
        return _planned(paired)
    for sentence in paired.summary.get("reading", ()):
        say(sentence)
    say(f"written to {out}")
    return {"folder": str(out), **paired.summary}


def _planned(paired: Paired) -> dict[str, Any]:
    pairs, attempts = counted(paired.count, "pair"), counted(paired.attempts, "attempt")
    calls = counted(paired.network_calls, "network call")
    say(f"would keep {pairs} of at most {attempts} of {calls} in {paired.folder}")
    return {
        "folder": str(paired.folder),
        "asked": paired.count,
        "attempts": paired.attempts,
        "network_calls": paired.network_calls,
    }
