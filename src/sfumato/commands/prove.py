"""`sfumato prove`: models trained with and without synthetic data, compared on real images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count
from sfumato.commands.output.layout import show_table
from sfumato.errors import UsageError
from sfumato.evaluation.prove.job import DownstreamTask
from sfumato.evaluation.prove.statistics import Estimate
from sfumato.evaluation.prove.verdict import CALLED, signed
from sfumato.networks.classifier import SMALL
from sfumato.numerals import decimal
from sfumato.plain import in_form, ours
from sfumato.progress import say
from sfumato.verbs.prove import prove as _prove


def prove(
    real: Path,
    samples: Path,
    /,
    *,
    out: Path,
    task: DownstreamTask | None = None,
    ratios: str | None = None,
    seeds: Count = 5,
    steps: Count | None = None,
    balance: bool = False,
    network: str = SMALL,
    positive: str | None = None,
    workers: Count | None = None,
    device: Device = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Does synthetic data help? Trains models with and without it, and tests them on real images.

    The same command again continues what was stopped: every model that is trained is kept.

    Args:
        real: The dataset of real images, with its split.
        samples: The synthetic images: a folder of `sfumato generate`, class folders, or a dataset with masks.
        out: The folder to write.
        task: classify or segment; by default segment where REAL and SAMPLES both have masks and nothing else asks for
            classes (--balance, --positive, --network), otherwise classify.
        ratios: Synthetic images for each real training image, like 0.5,1,2.
        seeds: Models of each arm: initial weights, order and draw of the images differ.
        steps: Training steps of each model, the same for all.
        balance: Only fill the smaller classes up to the largest, instead of --ratios.
        network: The classifier: small, or timm:NAME such as timm:resnet18, from random weights.
        positive: The class whose F1 is told beside always saying it; by default the last one.
        workers: Models trained at once; by default one for each core, one on a GPU.
        device: Where to work.
        overwrite: Replace a folder that is not empty.
    """
    proven = _prove(
        real,
        samples,
        out=out,
        task=task,
        ratios=None if ratios is None else _numbers(ratios),
        seeds=seeds,
        steps=steps,
        balance=balance,
        network=network,
        positive=positive,
        workers=workers,
        device=device,
        overwrite=overwrite,
    )
    with in_form(ours(out / "summary.json")):
        _show(proven.summary)
    say(f"the proof is in {out}")
    return {"proof": str(out), **proven.summary}


def _numbers(words: str) -> list[float]:
    """The ratios of 0.5,1,2."""
    numbers = [decimal(word.strip()) for word in words.split(",")]
    ratios = [number for number in numbers if number is not None]
    if len(ratios) != len(numbers):
        raise UsageError(f"--ratios {words}", expected="numbers above 0, like 0.5,1,2")
    return ratios


def _show(summary: Mapping[str, Any]) -> None:
    """The arms side by side, and what it means."""
    names = list(dict.fromkeys(row["metric"] for row in summary["arms"]))
    gains = {
        (row["arm"], row["ratio"]): signed(Estimate(row["value"], row["low"], row["high"]))
        for row in summary["differences"]
        if row["metric"] == names[0] and row["control"] == "real + duplicates"
    }
    rows = []
    for arm, ratio in dict.fromkeys((row["arm"], row["ratio"]) for row in summary["arms"]):
        of_arm = [row for row in summary["arms"] if (row["arm"], row["ratio"]) == (arm, ratio)]
        cells = [f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" for row in of_arm]
        rows.append([arm if ratio is None else f"{arm}, {ratio:g} x", *cells, gains.get((arm, ratio), "")])
    gain = f"{CALLED[names[0]]} minus duplicates"
    title = "Trained with and without synthetic images: mean [95 % interval]"
    show_table(["arm", *(CALLED[name] for name in names), gain], rows, title=title)
    for sentence in summary["reading"]:
        say(sentence)
