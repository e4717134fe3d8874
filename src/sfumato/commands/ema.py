"""`sfumato ema`: after the training, a model whose average has another width than those that were tracked."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from sfumato.commands.flags.numbers import Count
from sfumato.progress import say
from sfumato.verbs.ema import ema as _ema
from sfumato.wording import counted

LARGEST_ERROR = 0.05
"""Relative error of the profile above which the result is another average than the one that was asked for."""


def ema(
    run: Path,
    /,
    *,
    width: float,
    out: Path,
    at_step: Count | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Make a model of another average of the weights, from those that a run kept.

    Args:
        run: A run trained with a pair of widths, such as --set train.ema_widths=[0.05,0.1].
        width: Width of the average: the standard deviation of its memory as a share of the run, 0.01 to 0.25.
        out: The .safetensors file to write, a model like any other.
        at_step: The average after this step instead of the last one that was kept.
        overwrite: Replace a file that is there.
        dry_run: Only say how well the width can be met.
    """
    averaged = _ema(run, width=width, out=out, at_step=at_step, overwrite=overwrite, dry_run=dry_run)
    made_of = f"width {width:g} at step {averaged.step} from {counted(len(averaged.made_of), 'average')}"
    say(f"{made_of}: within {averaged.error:.2%} of its profile")
    if averaged.error > LARGEST_ERROR:
        say("note: this is far; kept averages are too few for a width so far from theirs")
    if not dry_run:
        say(f"wrote {out}")
    return {
        "run": str(run),
        "model": str(out),
        "width": width,
        "step": averaged.step,
        "error": averaged.error,
        "made_of": [asdict(each) for each in averaged.made_of],
    }
