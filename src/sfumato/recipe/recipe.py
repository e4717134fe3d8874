"""The recipe as a whole, and what its sections say about each other."""

import yaml
from pydantic import Field, model_validator

from sfumato.recipe.data import Data
from sfumato.recipe.network import Network, UNetNetwork
from sfumato.recipe.part import Part, TaskKind
from sfumato.recipe.process import CategoricalProcess, Process, SDDProcess
from sfumato.recipe.sample import Sample
from sfumato.recipe.train import Checkpoint, Loss, Train, Validate


class Recipe(Part):
    """Everything about a run."""

    task: TaskKind = Field(description="segment or generate")
    data: Data = Data()
    process: Process
    network: Network = UNetNetwork()
    loss: Loss = Loss()
    train: Train = Train()
    sample: Sample = Sample()
    validate_: Validate = Field(Validate(), alias="validate")
    checkpoint: Checkpoint = Checkpoint()

    @model_validator(mode="after")
    def _masks_are_for_segment(self) -> "Recipe":
        if self.task == "generate" and isinstance(self.process, CategoricalProcess):
            raise ValueError("process.kind=categorical is for masks: images have no classes; take edm or another kind")
        if self.task == "generate" and getattr(self.process, "critical_log_snr", None) == "auto":
            raise ValueError("process.critical_log_snr=auto is measured on masks; for generate give a number or none")
        return self

    @model_validator(mode="after")
    def _shares_apply(self) -> "Recipe":
        if isinstance(self.process, SDDProcess):
            other = {"segment": ("smoothing", "intensities"), "generate": ("skip", "classes")}[self.task]
            defaults = SDDProcess()
            if given := [name for name in other if getattr(self.process, name) != getattr(defaults, name)]:
                raise ValueError(f"process.{' and process.'.join(given)} would do nothing for task {self.task}")
        return self

    def to_yaml(self) -> str:
        """The recipe as YAML, every field written."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)
