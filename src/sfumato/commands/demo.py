"""`sfumato demo`: toy data, both jobs, a report, on this machine.

Trainings are measured in steps, so that the pictures are as good on any machine; a clock ends them early where a
machine is slow or busy, but not before they have learnt to draw. What is drawn and compared afterwards is less, then.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from sfumato.commands import evaluate, evaluate_images, report, toy, train
from sfumato.commands import generate as generating
from sfumato.commands import segment as segmenting
from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Positive
from sfumato.commands.prepare import prepare
from sfumato.errors import UsageError
from sfumato.experiment.output_folder import check_output
from sfumato.experiment.run import Run
from sfumato.progress import say
from sfumato.provenance import is_written_by_us, write_provenance
from sfumato.training.processes import choose_device

MASK_SIZE, SIZE = 256, "48"
"""Pixels of the images that masks are drawn of, and of those that are made."""

SEEN_ONCE = "network={kind: amortised, channels: 16}"
"""A network that looks at an image of 256 pixels once, at a quarter of its size, and costs what another does at 64."""

WHOLE_READINGS = "process={kind: ssn}"
"""Four readers differ: masks are drawn that are whole readings, in one call."""

QUICK = ("validate.every_steps=100", "validate.cases=24", "train.warmup=30", "train.ema_half_life=2000")


class _Length(NamedTuple):
    """How long a model is trained.

    Attributes:
        steps: where the machine is fast enough.
        least: steps that are made however slow it is: masks lie on the lesions, images show lesions.
        share: of the time for all trainings.
    """

    steps: int
    least: int
    share: float

    def settings(self, minutes: float) -> dict[str, Any]:
        """As arguments of a training."""
        floor = [f"train.least_steps={self.least}"]
        return {"steps": self.steps, "minutes": minutes * self.share, "set": [*QUICK, *floor]}


SEGMENT = _Length(steps=300, least=100, share=0.28)
"""The twin is trained as long again, for as many steps as the model that it is compared with."""

GENERATE = _Length(steps=600, least=480, share=0.44)


class Extent(NamedTuple):
    """How much is drawn and compared.

    Attributes:
        members: masks of each case.
        images: that are made.
        features: spaces in which they are compared with real ones.
    """

    members: int
    images: int
    features: str


WHOLE = Extent(members=16, images=64, features="own,radiomics,pixels")
SMALL = Extent(members=8, images=24, features="radiomics,pixels")
"""Where the clock ended a training."""


def demo(
    *,
    out: Path = Path("demo"),
    minutes: Positive = 5.5,
    cases: Count = 240,
    device: Device = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Segment toy lesions of 256 pixels as four readers would, beside the deterministic twin; make small ones; report.

    Args:
        out: The folder to write.
        minutes: Most time for training, all three models together; a slow machine takes longer for the fewest steps.
        cases: Toy images.
        device: Where to work.
        overwrite: Replace an earlier demo.
    """
    choose_device(device)
    _begin(out, overwrite=overwrite)
    say(f"[1/5] {cases} toy images with four readers each, of {MASK_SIZE} pixels to segment, and small ones to make")
    toy.toy(out / "toy-large", cases=cases, size=MASK_SIZE, overwrite=overwrite)
    toy.toy(out / "toy", cases=cases, overwrite=overwrite)
    large, dataset = out / "dataset-large", out / "dataset"
    prepare(out / "toy-large", out=large, size=str(MASK_SIZE), overwrite=overwrite)
    prepare(out / "toy", out=dataset, size=SIZE, overwrite=overwrite)
    say(f"[2/5] training: segment, and its deterministic twin; first pictures: {out / 'segment' / 'samples'}")
    how = SEGMENT.settings(minutes)
    how["set"] = [*how["set"], SEEN_ONCE, WHOLE_READINGS]
    trained = train.segment(large, out=out / "segment", twin=True, device=device, **how)
    extent = _extent(trained["step"], minutes)
    say(f"[3/5] segmenting held-out cases, {extent.members} masks each, and scoring them")
    segmenting.segment(
        out / "segment",
        large,
        out=out / "predictions",
        split="test",
        samples=extent.members,
        device=device,
        overwrite=overwrite,
    )
    scores = evaluate.masks(out / "predictions", large, out=out / "scores", overwrite=overwrite)
    say("[4/5] training: generate, and making images of every grade")
    train.generate(dataset, out=out / "generate", device=device, **GENERATE.settings(minutes))
    generating.generate(out / "generate", out=out / "samples", count=extent.images, device=device, overwrite=overwrite)
    images = evaluate_images.images(
        out / "samples",
        dataset,
        out=out / "images",
        features=extent.features,
        device=device,
        overwrite=overwrite,
    )
    say("[5/5] the report")
    folders = [out / name for name in ("scores", "predictions", "images", "samples", "segment", "generate", "dataset")]
    page = report.report(*folders, out=out / "report.html", overwrite=True)
    return {"scores": scores, "images": images["reading"], **page}


def _begin(out: Path, *, overwrite: bool) -> None:
    """Mark the folder as a demo's, and remove the runs of an earlier one: training would resume them.

    Raises:
        UsageError: the folder is not empty, or holds something else than a demo.
    """
    check_output(out, overwrite=overwrite)
    if out.is_dir() and any(out.iterdir()) and not is_written_by_us(out):
        raise UsageError(f"{out} holds something else", expected="a new folder, or that of an earlier demo")
    out.mkdir(parents=True, exist_ok=True)
    write_provenance(out, inputs={})
    for run in (out / "segment", out / "generate"):
        if Run(run).exists():
            shutil.rmtree(run)


def _extent(steps: int, minutes: float) -> Extent:
    """How much to draw and compare after a training of so many steps."""
    if steps >= SEGMENT.steps:
        return WHOLE
    say(
        f"this machine is slow or busy: {steps} of {SEGMENT.steps} steps in {minutes * SEGMENT.share:.1f} minutes. "
        "Pictures will be rougher, and fewer are drawn and compared"
    )
    return SMALL
