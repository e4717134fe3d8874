"""`sfumato demo`: toy data, both jobs, a report, on this machine."""

import shutil
from pathlib import Path
from typing import Any

from sfumato.commands import evaluate, evaluate_images, report, toy, train
from sfumato.commands import generate as generating
from sfumato.commands import segment as segmenting
from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Positive
from sfumato.commands.output.console import say
from sfumato.commands.output.folder import check_output
from sfumato.commands.prepare import prepare
from sfumato.run import Run
from sfumato.training.processes import choose_device

SIZE = "48"
SHARES = {"segment": 0.28, "twin": 0.28, "generate": 0.44}
"""Of the training time; the twin trains as long as the model that it is compared with."""


def demo(
    *,
    out: Path = Path("demo"),
    minutes: Positive = 5.5,
    cases: Count = 240,
    device: Device = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Segment held-out toy lesions beside the deterministic twin, make new ones grade by grade, and report.

    Args:
        out: The folder to write.
        minutes: Time for training, all three models together.
        cases: Toy images.
        device: Where to work.
        overwrite: Replace a folder that is not empty.
    """
    choose_device(device)
    check_output(out, overwrite=overwrite)
    segment_run, generate_run = out / "segment", out / "generate"
    for run in (segment_run, generate_run):
        if Run(run).exists():  # an earlier demo's: training would resume it
            shutil.rmtree(run)
    say(f"[1/5] {cases} toy images with four readers each")
    toy.toy(out / "toy", cases=cases, overwrite=overwrite)
    prepare(out / "toy", out=out / "dataset", size=SIZE, overwrite=overwrite)
    say("[2/5] training: segment, and its deterministic twin")
    quick = ["validate.every_minutes=1", "validate.cases=24", "train.warmup=30", "train.ema_half_life=2000"]
    train.segment(
        out / "dataset", out=segment_run, minutes=minutes * SHARES["segment"], set=quick, twin=True, device=device
    )
    say("[3/5] segmenting held-out cases, four masks each, and scoring them")
    segmenting.segment(
        segment_run,
        out / "dataset",
        out=out / "predictions",
        split="test",
        samples=4,
        device=device,
        overwrite=overwrite,
    )
    scores = evaluate.masks(out / "predictions", out / "dataset", out=out / "scores", overwrite=overwrite)
    say("[4/5] training: generate, and making images of every grade")
    train.generate(
        out / "dataset",
        out=generate_run,
        minutes=minutes * SHARES["generate"],
        set=quick,
        device=device,
    )
    generating.generate(generate_run, out=out / "samples", count=64, device=device, overwrite=overwrite)
    images = evaluate_images.images(
        out / "samples", out / "dataset", out=out / "images", device=device, overwrite=overwrite
    )
    say("[5/5] the report")
    folders = [out / name for name in ("scores", "predictions", "images", "samples", "segment", "generate", "dataset")]
    page = report.report(*folders, out=out / "report.html", overwrite=True)
    return {"scores": scores, "images": images["reading"], **page}
