"""From the words of a recipe's `track` to trackers."""

from pathlib import Path

from sfumato.recipe import Track
from sfumato.training.track import Tracker
from sfumato.training.trackers import MLflow, TensorBoard, WandB


def build_trackers(track: Track, folder: Path) -> list[Tracker]:
    """The trackers of a run; nothing is imported or sent yet.

    Args:
        track: which.
        folder: the run folder, where those that keep files keep them.
    """
    trackers: list[Tracker] = []
    if track.tensorboard:
        trackers.append(TensorBoard(folder / "tensorboard"))
    if track.wandb is not None:
        trackers.append(WandB(track.wandb, folder))
    if track.mlflow is not None:
        trackers.append(MLflow(track.mlflow, track.mlflow_uri))
    return trackers
