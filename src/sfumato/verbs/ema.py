"""After the training: a model whose average of the weights has another width than those that were tracked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfumato.errors import UsageError
from sfumato.experiment.claim import Claim
from sfumato.experiment.output_folder import claim_output_file
from sfumato.experiment.run import Run, load_model
from sfumato.header import header
from sfumato.recipe.train import NARROWEST, WIDEST
from sfumato.training.averages import KeptFile, add_together, kept_averages
from sfumato.training.profile import Kept, reconstruct_average
from sfumato.training.weights import check_weight_numbers, write_weights


@dataclass(frozen=True)
class AverageShare:
    """A kept average, and its share of another one.

    Attributes:
        step: of the training, at which it was kept.
        width: its own.
        share: may be negative; all add up to 1.
    """

    step: int
    width: float
    share: float


@dataclass(frozen=True)
class AveragedModel:
    """A model of another average, or what it would be.

    Attributes:
        file: the model.
        width: of its average.
        step: of the training, after which it is the average.
        error: relative error of its profile: how far it is from the average that was asked for.
        made_of: the averages that it is the sum of.
    """

    file: Path
    width: float
    step: int
    error: float
    made_of: Sequence[AverageShare]


def ema(
    run: Path | str,
    *,
    width: float,
    out: Path | str,
    at_step: int | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> AveragedModel:
    """Make a model of another average of the weights, from those that a run kept.

    Args:
        run: a run trained with a pair of widths, such as `train.ema_widths` [0.05, 0.1].
        width: of the average: the standard deviation of its memory as a share of the run, 0.01 to 0.25.
        out: the .safetensors file to write, a model like any other.
        at_step: the average after this step instead of the last one that was kept.
        overwrite: replace a file that is there.
        dry_run: write nothing.

    Raises:
        UsageError: the width is out of its bounds, the run kept no averages, or none at this step; a file is there.
    """
    run, out = Path(run), Path(out)
    claim = _claim(width, out, overwrite=overwrite or dry_run)
    kept = _until_step(run, at_step)
    found = reconstruct_average([each.profile for each in kept], Kept(kept[-1].step, width))
    made_of = [AverageShare(each.step, each.width, share) for each, share in zip(kept, found.shares, strict=True)]
    averaged = AveragedModel(out, width, kept[-1].step, found.error, made_of)
    if not dry_run:
        about = {"width": width, "error": found.error, "made_of": [vars(each) for each in made_of]}
        _write(claim, kept, found.shares, about)
    return averaged


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


def _write(claim: Claim, kept: list[KeptFile], shares: tuple[float, ...], average: Mapping[str, Any]) -> None:
    """The newest average's model with its weights replaced, and told so."""
    model = load_model(kept[-1].file)
    names = [name for name, _ in model.network.named_parameters()]
    averaged = add_together(kept, shares, names)
    check_weight_numbers(averaged, model.network.state_dict(), source=str(kept[-1].file.parent))
    model.network.load_state_dict(averaged, strict=False)
    about = header(model.recipe, model.spec, step=model.step, average=average)
    with claim.file() as draft:
        write_weights(draft, model.network.state_dict(), about)
