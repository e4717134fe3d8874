"""`--steps auto`: as few network calls as are as good as many, measured once on the validation split of the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from sfumato.data.dataset import Dataset
from sfumato.errors import ModelError, UsageError
from sfumato.experiment.fewest_steps import STEPS, Curve, measure_curve
from sfumato.experiment.run import Model, Run, keep_curve
from sfumato.progress import bar, say
from sfumato.tasks.patches import in_parts_of_one_size
from sfumato.wording import counted

Steps = int | Literal["auto"]
"""How many; or as few as are as good as many."""


def resolve_steps(
    model: Model,
    path: Path,
    steps: Steps | None,
    *,
    sampler: str | None,
    grid: str | None,
    batch: int,
    others: Mapping[str, object],
) -> int | None:
    """The number of steps; None leaves it to the recipe.

    `auto` reads the curve beside the model or in its header. A run without one is measured on its dataset, and the
    curve kept in RUN/measured.json.

    Args:
        model: the model.
        path: where it was loaded from.
        steps: what the person said.
        sampler: the sampler's name, if another than the recipe's is wanted.
        grid: where its steps lie, likewise.
        batch: results drawn at once.
        others: flags by their values, None where they are not given, that a curve does not know.

    Raises:
        UsageError: `auto` for a lone file without a curve of this sampler and grid, or with one of the other flags.
        DataError: there are too few validation cases to measure it.
        ModelError: the masks are no better than the same one for every image.
    """
    if steps != "auto":
        return steps
    if given := [flag for flag, value in others.items() if value is not None]:
        raise UsageError(
            f"--steps auto with {', '.join(given)}, which changes how many steps are enough",
            remedy="give a number of steps, or set it in the recipe",
        )
    sampler, grid = sampler or model.recipe.sample.sampler, grid or model.recipe.sample.grid
    curve = None if model.curve is None else Curve.from_dict(model.curve)
    if curve is None or (curve.sampler, curve.grid) != (sampler, grid):
        curve = _measured(model, path, sampler=sampler, grid=grid, batch=batch)
    if curve.verdict == "better":
        say(f"steps: {curve.steps}, as good as {curve.points[-1].steps} on {curve.of}")
    else:
        _tell_nothing(curve)
    return curve.steps


def _tell_nothing(curve: Curve) -> None:
    """What is said where fewer steps may be as good as many because none is good for anything.

    Raises:
        ModelError: it is sure that none is. Else the most steps are taken.
    """
    most = curve.points[-1].steps
    why = curve.constant.get("told", f"the masks of the model have a Dice of 0 with {most} steps")
    if curve.verdict == "no better":
        refusal = ModelError(
            f"{why}. So how many steps are enough cannot be said",
            expected="a model that reads images",
            remedy="train it longer, or give a number of steps",
            code="SCORE-040",
        )
        refusal.result = {"steps": None, "constant_mask": dict(curve.constant)}
        raise refusal
    say(f"steps: {most}; whether fewer are enough cannot be said, as {why}")


def _measured(model: Model, path: Path, *, sampler: str, grid: str, batch: int) -> Curve:
    run = Run(path)
    if not run.exists():
        raise UsageError(
            f"{path} holds no measurement of {sampler} on the {grid} grid",
            expected="a run folder, whose validation split can be measured",
            remedy="give the run, or what export makes of it when it was measured; or give a number of steps",
        )
    dataset = in_parts_of_one_size(Dataset.open(run.found_dataset()), model.window)
    curves = measure_curve(model, dataset, sampler=sampler, grid=grid, batch=batch)
    with bar("measuring steps", total=len(STEPS)) as progress:
        for curve in curves:
            point = curve.points[-1]
            told = ", ".join(f"{name} {value:.4f}" for name, value in point.values.items())
            progress.update(len(curve.points), note=f"{counted(point.steps, 'step')}: {told}")
    file = keep_curve(path, model.sha256, curve.to_dict())
    say(f"curve of {counted(len(curve.points), 'number', 'numbers')} of steps kept in {file}")
    return curve
