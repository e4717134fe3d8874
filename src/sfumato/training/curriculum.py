"""A loss that grows harder in stages, and goes on to the next one only where the last was learnt.

After `begins` of the run come `STAGES` stages of equal length. A stage whose watched term was higher in its last
quarter than in its first, by more than two standard errors of the difference, is not learnt: the run stays in it for
the length of another. What decides are means over the global batch, so all processes decide alike; it is part of a
checkpoint, so a continued run decides as it would have.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

STAGES = 5
"""Stages beyond the plain loss."""


class _Sums(BaseModel):
    """Of a term over some steps.

    Attributes:
        count: number of steps.
        total: sum.
        squares: sum of the squares.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    count: NonNegativeInt = 0
    total: float = 0.0
    squares: Annotated[float, Field(ge=0)] = 0.0

    def with_one(self, value: float) -> "_Sums":
        """One step more."""
        return _Sums(count=self.count + 1, total=self.total + value, squares=self.squares + value**2)

    @property
    def mean(self) -> float:
        """Of the steps."""
        return self.total / self.count

    @property
    def squared_error(self) -> float:
        """Of the mean, squared."""
        return max(0.0, self.squares / self.count - self.mean**2) / max(1, self.count - 1)


class CurriculumState(BaseModel):
    """What a checkpoint holds of a curriculum.

    Attributes:
        boundary: stages that would have been reached without staying.
        stage: the stage, 0 for the plain loss, `STAGES` for the last.
        early: the watched term in the first quarter since the last boundary.
        late: the same in the last quarter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    boundary: Annotated[int, Field(ge=0, le=STAGES)] = 0
    stage: Annotated[int, Field(ge=0, le=STAGES)] = 0
    early: _Sums = _Sums()
    late: _Sums = _Sums()

    @property
    def rose(self) -> bool:
        """Whether the watched term was higher late than early."""
        if min(self.early.count, self.late.count) < 2:
            return False
        spread = math.sqrt(self.early.squared_error + self.late.squared_error)
        return self.late.mean > self.early.mean + 2 * spread


@dataclass
class Curriculum:
    """Where a run is in it.

    Args:
        begins: share of the run after which the first stage begins; in [0, 1).
        watched: name of the loss term that must not rise.
        state: how far it has come.
    """

    begins: float
    watched: str
    state: CurriculumState = field(default_factory=CurriculumState)

    @property
    def stage(self) -> int:
        """The stage of the next step."""
        return self.state.stage

    def begin(self, fraction: float) -> None:
        """Enter the stage of a step, before it.

        Args:
            fraction: of the run that is done.
        """
        due = min(STAGES, 1 + math.floor(self._place(fraction))) if fraction >= self.begins else 0
        while self.state.boundary < due:
            stays = self.state.rose
            self.state = CurriculumState(boundary=self.state.boundary + 1, stage=self.state.stage + (not stays))

    def observe(self, fraction: float, terms: Mapping[str, float]) -> None:
        """Look at a step that was made.

        Args:
            fraction: of the run that was done before it.
            terms: means of the loss terms over the global batch.
        """
        if self.state.boundary == 0:
            return
        quarter = math.floor(4 * (self._place(fraction) - self.state.boundary + 1))
        name = {0: "early", 3: "late"}.get(quarter)
        if name is not None:
            sums = getattr(self.state, name).with_one(terms[self.watched])
            self.state = self.state.model_copy(update={name: sums})

    def _place(self, fraction: float) -> float:
        """Stages since the beginning of the first."""
        return STAGES * (fraction - self.begins) / (1 - self.begins) + 1e-9  # 0.6 - 0.5 is a little less than 0.1
