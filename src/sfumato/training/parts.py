"""What training changes: the networks, their averages and optimisers, and how far the run has come."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from sfumato.errors import ModelError
from sfumato.plain import shaped
from sfumato.training.adversary import Adversary
from sfumato.training.checkpoint import STATE, Checkpoint
from sfumato.training.curriculum import Curriculum, CurriculumState
from sfumato.training.ema import EMA
from sfumato.training.generators import generator_states, restore_generators
from sfumato.training.optimizer import optimizer_tensors, restore_optimizer
from sfumato.training.precision import LossScale
from sfumato.training.shard import whole_tensors
from sfumato.training.weights import fill_weights


@dataclass
class TrainingState:
    """Everything that training changes, and so everything that a checkpoint holds.

    Attributes:
        network: the trained network, not compiled or wrapped.
        ema: its average.
        optimizer: over the network's parameters.
        step: number of steps done.
        seconds: time spent training.
        best: what the caller wants to remember about the best checkpoint; JSON.
        scale: scale of a float16 loss.
        further: averages besides `ema`.
        adversary: a network that is trained against this one.
        piece: most samples of one forward pass that memory holds, once it ran out; None before.
        curriculum: stages of a loss that grows harder; None: the same all along.
        skipped: steps, counted from 1 as in the log, that were passed over because loss or gradient was not finite.
    """

    network: nn.Module
    ema: EMA
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    best: dict[str, Any] = field(default_factory=dict)
    scale: LossScale = field(default_factory=LossScale)
    further: tuple[EMA, ...] = ()
    adversary: Adversary | None = None
    curriculum: Curriculum | None = None
    piece: int | None = None
    skipped: list[int] = field(default_factory=list)

    def trained(self) -> list[tuple[nn.Module, torch.optim.Optimizer]]:
        """The network with its optimiser, and the adversary with its own."""
        own = (self.network, self.optimizer)
        return [own] if self.adversary is None else [own, (self.adversary.network, self.adversary.optimizer)]

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """For `checkpoint.save`: file stem -> name -> tensor. All processes ask where the network is shared out."""
        return {
            "model": whole_tensors(self.network.state_dict()),
            **{stem: average.state_dict() for stem, average in self._averages()},
            "optimizer": whole_tensors(optimizer_tensors(self.network, self.optimizer)),
            **({} if self.adversary is None else self.adversary.tensors()),
            "generators": generator_states(next(self.network.parameters()).device),
        }

    def _averages(self) -> Iterator[tuple[str, EMA]]:
        """Every average with its file stem in a checkpoint: `ema`, `ema-2`, ..."""
        yield "ema", self.ema
        for number, average in enumerate(self.further, start=2):
            yield f"ema-{number}", average

    def state(self) -> dict[str, Any]:
        """For `checkpoint.save`: the rest, as JSON."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "scale": asdict(self.scale),
            "piece": self.piece,
            "skipped": self.skipped,
            **({} if self.curriculum is None else {"curriculum": self.curriculum.state.model_dump()}),
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint.

        Raises:
            ModelError: it is of another network, its numbers are not finite, or its state is not ours.
        """
        state = shaped(_State.model_validate, checkpoint.state, lambda finding: _not_ours(checkpoint, finding))
        if state.step != checkpoint.step:
            raise _not_ours(checkpoint, f"is of step {state.step}, the checkpoint of step {checkpoint.step}")
        fill_weights(self.network, checkpoint.part("model"), source=f"{checkpoint.path}/model")
        for stem, average in self._averages():
            fill_weights(average.network, checkpoint.part(stem), source=f"{checkpoint.path}/{stem}")
        restore_optimizer(self.network, self.optimizer, checkpoint.part("optimizer"))
        if self.adversary is not None:
            self.adversary.restore(checkpoint)
        restore_generators(checkpoint.tensors.get("generators", {}), next(self.network.parameters()).device)
        self.step, self.seconds, self.piece, self.skipped = state.step, state.seconds, state.piece, list(state.skipped)
        self.best = state.best.model_dump(exclude_unset=True)
        self.scale = LossScale(state.scale.value, state.scale.good)
        if self.curriculum is not None and state.curriculum is not None:
            self.curriculum.state = state.curriculum


class _Form(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, extra="forbid")


class _Other(_Form):
    metric: Annotated[str, Field(pattern=r"^\w{1,40}$")]
    value: float
    step: NonNegativeInt


class _Best(_Form):
    model_config = ConfigDict(extra="allow", allow_inf_nan=True)  # the score of a run that diverged is NaN

    score: float = 0.0
    step: NonNegativeInt = 0
    stalled: NonNegativeInt = 0
    other: _Other | None = None


class _Scale(_Form):
    value: PositiveFloat
    good: NonNegativeInt


class _State(_Form):
    """What `TrainingState.state` wrote."""

    step: NonNegativeInt
    seconds: NonNegativeFloat
    best: _Best
    scale: _Scale
    piece: PositiveInt | None = None
    skipped: tuple[PositiveInt, ...] = ()
    curriculum: CurriculumState | None = None


def _not_ours(checkpoint: Checkpoint, finding: str) -> ModelError:
    return ModelError(
        f"{checkpoint.path / STATE} {finding}",
        expected="the state of a run that sfumato trained",
        remedy="train into a new folder",
    )
