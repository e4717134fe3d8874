"""How the masks of each case are drawn: from what, how many, seen in which way, at what cost."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sfumato.errors import UsageError
from sfumato.experiment.inference import Twin
from sfumato.experiment.resolve_steps import Steps
from sfumato.experiment.run import CONTROLS, TWIN, ControlName, Model, load_model
from sfumato.experiment.sampling import Drawing, Passes
from sfumato.progress import say
from sfumato.tasks.task import Sampler
from sfumato.tasks.views import views_of

StartKind = Literal["noise", "twin"]


@dataclass(frozen=True, kw_only=True)
class MaskDrawing:
    """How the ensemble of each case is drawn.

    Attributes:
        each: how each mask is drawn.
        start: what the sampler starts from; None for noise.
        tta: whether each member sees another view of the image.
        count: members of each ensemble.
        seed: decides the noise.
        batch: masks drawn at once.
        sees_once: whether the network sees an image, or a view of it, once for all members.
    """

    each: Drawing
    start: Twin | None
    tta: bool
    count: int
    seed: int
    batch: int
    sees_once: bool = False

    @property
    def passes(self) -> Passes:
        """What the masks of each image cost."""
        calls, before = self.count * self.each.calls, Passes(0 if self.start is None else self.start.calls)
        if not self.sees_once:
            return before + Passes(calls)
        networks = 1 if self.each.guidance.weak is None else 2
        return before + Passes(networks * (self.count if self.tta else 1), calls)

    def way(self, guide: str | None) -> str:
        """All that decides how masks are drawn but their seed, in words; `guide` names a weaker model that guides."""
        start = "noise" if self.start is None else self.start.model.sha256
        sampler, guidance, _ = self.each
        guided = "" if guidance.scale == 1 else f", guidance {guidance.scale} {guidance.interval} {guide}"
        return f"{self.count} members, tta {self.tta}, {sampler!r} from {start}{guided}"

    def facts(self) -> dict[str, str]:
        """What decides a mask besides the sampler, the guidance and the name of the case."""
        facts = {"seed": str(self.seed), "members": str(self.count)}
        facts |= {"twin": self.start.model.sha256} if self.start else {}
        return facts | ({"views": "yes"} if self.tta else {})

    def of_control(self, control: Model) -> "MaskDrawing":
        """The same for a control, drawn as it was trained: as many members, of the deterministic twin its one mask."""
        count = 1 if control.recipe.process.kind == "none" else self.count
        each = Drawing.of(control, control.sampler())
        return replace(self, each=each, start=None, tta=False, count=count, sees_once=control.sees_once)


def load_controls(run: Path, *, device: str) -> dict[ControlName, Model]:
    """The controls of a run, by name."""
    return {name: load_model(run / name, device=device) for name in CONTROLS if (run / name).is_dir()}


def check_start(start: StartKind, *, steps: Steps | None, grid: str | None) -> None:
    """Refuse what a warm start has no use for.

    Raises:
        UsageError: `--steps auto` or `--grid` with a start from the twin.
    """
    if start == "twin" and steps == "auto":
        raise UsageError("--steps auto is measured from noise, not from the twin's mask", remedy="--steps 3, say")
    if start == "twin" and grid is not None:
        raise UsageError(
            f"--grid {grid} with --start twin, whose steps begin at the critical log-SNR", remedy="leave --grid out"
        )


def warm_start(sampler: Sampler, run: Path, twin: Model | None) -> Twin | None:
    """What the sampler starts from; None for noise.

    Raises:
        UsageError: there is no twin to start from.
    """
    if not sampler.warm:
        return None
    if twin is None:
        raise UsageError(
            f"{run} has no deterministic twin to start from",
            expected=f"a run folder with {TWIN}/ in it",
            remedy="sfumato train segment ... --twin, or --start noise",
        )
    return Twin(model=twin)


def members(model: Model, samples: int | None, *, tta: bool) -> int:
    """Members of each ensemble; one where all would be equal.

    Raises:
        UsageError: more members than views, or a single view.
    """
    count, views = samples or model.recipe.sample.samples, views_of(model.spec.size)
    if tta and not 1 < count <= views:
        raise UsageError(
            f"--tta with --samples {count}",
            expected=f"2 to {views}, the ways to see an image of this shape",
            remedy=f"--samples {views}",
        )
    if tta or model.recipe.process.kind != "none":
        return count
    if samples is not None and samples > 1:
        say("a deterministic model draws one mask, more would be equal; with --tta it draws one for each view")
    return 1
