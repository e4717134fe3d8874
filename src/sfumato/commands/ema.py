"""`sfumato ema`: after the training, a model whose average has another width than those that were tracked."""

from pathlib import Path
from typing import Any

from sfumato.commands.flags.numbers import Count
from sfumato.errors import UsageError
from sfumato.experiment.claim import Claim
from sfumato.experiment.output_folder import claim_output_file
from sfumato.experiment.run import Run, load_model
from sfumato.header import header
from sfumato.progress import say
from sfumato.recipe.train import NARROWEST, WIDEST
from sfumato.training.averages import KeptFile, add_together, kept_averages
from sfumato.training.profile import Kept, reconstruct_average
from sfumato.training.weights import check_weight_numbers, write_weights
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
    claim = _claim(width, out, overwrite=overwrite or dry_run)
    kept = _until_step(run, at_step)
    found = reconstruct_average([each.profile for each in kept], Kept(kept[-1].step, width))
    made_of = f"width {width:g} at step {kept[-1].step} from {counted(len(kept), 'average')}"
    say(f"{made_of}: within {found.error:.2%} of its profile")
    if found.error > LARGEST_ERROR:
        say("note: this is far; kept averages are too few for a width so far from theirs")
    result = {
        "run": str(run),
        "model": str(out),
        "width": width,
        "step": kept[-1].step,
        "error": found.error,
        "made_of": [
            {"step": each.step, "width": each.width, "share": share}
            for each, share in zip(kept, found.shares, strict=True)
        ],
    }
    if not dry_run:
        _write(claim, kept, found.shares, {name: result[name] for name in ("width", "error", "made_of")})
        say(f"wrote {out}")
    return result


def _claim(width: float, out: Path, *, overwrite: bool) -> Claim:
    """Refuse what is impossible, and claim the name of the file."""
    if not NARROWEST <= width <= WIDEST:
        raise UsageError(f"a width of {width:g} cannot be told apart", expected=f"{NARROWEST} to {WIDEST}")
    if out.suffix != ".safetensors":
        raise UsageError(f"{out} is no model file", expected="a name that ends in .safetensors")
    return claim_output_file(out, overwrite=overwrite)


def _until_step(run: Path, step: int | None) -> list[KeptFile]:
    """What a run kept until a step, which must be one of those it kept averages of."""
    kept = kept_averages(Run(run).averages)
    if not kept:
        raise UsageError(
            f"{run} kept no averages",
            expected="a run that was trained with a pair of widths",
            remedy="train with --set train.ema_widths=[0.05,0.1]",
        )
    steps = sorted({each.step for each in kept})
    if step is None:
        step = steps[-1]
    if step not in steps:
        raise UsageError(f"{run} kept no averages of step {step}", expected=f"one of {', '.join(map(str, steps))}")
    return [each for each in kept if each.step <= step]


def _write(claim: Claim, kept: list[KeptFile], shares: tuple[float, ...], average: dict[str, Any]) -> None:
    """The newest average's model with its weights replaced, and told so."""
    model = load_model(kept[-1].file)
    names = [name for name, _ in model.network.named_parameters()]
    averaged = add_together(kept, shares, names)
    check_weight_numbers(averaged, model.network.state_dict(), source=str(kept[-1].file.parent))
    model.network.load_state_dict(averaged, strict=False)
    about = header(model.recipe, model.spec, step=model.step, average=average)
    with claim.file() as draft:
        write_weights(draft, model.network.state_dict(), about)
