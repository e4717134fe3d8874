"""TensorBoard, Weights & Biases and MLflow behind the three methods of `sfumato.training.track.Tracker`.

Each of them likes to send more than it is given: host, user, command line, working folder, git remote, console, use of
the library. A command line names folders, and a folder may name a patient, so all of that is switched off.
"""

import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.recipe.track import Word
from sfumato.training.track import LogEntry, ResumePoint

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PICTURES = "samples"
"""Name of the pictures in every tracker."""

LOGIN_SECONDS = 20.0
"""How long Weights & Biases may ask at the terminal who is there."""

STEP_TAG = "sfumato.step"
"""Tag of an MLflow run: the last step of which it was told everything."""

MOST_METRICS, MOST_PARAMS = 1000, 100
"""What one request to MLflow may hold."""


class TensorBoard:
    """Event files; of several for the same steps, TensorBoard believes the newest.

    Args:
        folder: where to write them.
    """

    name = "tensorboard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def start(self, words: Mapping[str, Word], place: ResumePoint) -> ResumePoint:
        """Open a file that takes the place of all that was written after `place.step`."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(self._folder, purge_step=place.step + 1 if place.run else None)
        if place.run is None:
            self._writer.add_text("recipe", "\n".join(f"    {name}: {word}" for name, word in words.items()))
        return place._replace(run="events")

    def record(self, entries: Sequence[LogEntry]) -> None:
        """Write entries, and let other programs see them."""
        for step, numbers, picture in entries:
            for name, value in numbers.items():
                self._writer.add_scalar(name, value, step)
            if picture is not None:
                self._writer.add_image(_PICTURES, picture, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class WandB:
    """Weights & Biases; without a network by WANDB_MODE=offline.

    Args:
        project: name of the project.
        folder: where it may keep its files.
        finish_seconds: how long it may go on sending when training has ended.
    """

    name = "wandb"

    def __init__(self, project: str, folder: Path, *, finish_seconds: float = 45.0) -> None:
        self._project, self._folder, self._finish = project, folder, finish_seconds
        self._run: Any = None

    def start(self, words: Mapping[str, Word], place: ResumePoint) -> ResumePoint:
        """Begin a run, or continue the one that is named.

        Raises:
            PermissionError: nobody has logged in, or it is switched off.
        """
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        run = place.run or secrets.token_hex(8)
        quiet = wandb.Settings(
            silent=True,
            console="off",
            finish_timeout=self._finish,
            disable_git=True,
            disable_code=True,
            save_code=False,
            program="",
            host="",
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            login_timeout=LOGIN_SECONDS,
        )
        self._run = wandb.init(
            project=self._project, dir=str(self._folder), id=run, resume="allow", config=dict(words), settings=quiet
        )
        if self._run.disabled:
            raise PermissionError("nobody is logged in: run `wandb login`, or set WANDB_MODE=offline")
        return ResumePoint(run, max(place.step, self._run.step - 1))

    def record(self, entries: Sequence[LogEntry]) -> None:
        """Send entries; those of one step become one row."""
        import wandb

        for step, numbers, picture in entries:
            shown = {} if picture is None else {_PICTURES: wandb.Image(picture)}
            self._run.log({**numbers, **shown}, step=step)

    def close(self) -> None:
        """Send what is left and end the run."""
        self._run.finish()


class MLflow:
    """MLflow: a server, a database or a folder.

    Args:
        experiment: name of the experiment, made if it is not there.
        uri: where; None for what MLflow itself is set to.
    """

    name = "mlflow"

    def __init__(self, experiment: str, uri: str | None) -> None:
        self._experiment, self._uri = experiment, uri
        self._client: MlflowClient
        self._run = ""

    def start(self, words: Mapping[str, Word], place: ResumePoint) -> ResumePoint:
        """Begin a run, or continue the one that is named at the step that its tag says."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        if self._uri is not None and ("://" not in self._uri or self._uri.startswith("file:")):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = client = MlflowClient(self._uri)
        if place.run is not None:
            self._run = place.run
            client.update_run(self._run, status="RUNNING")
            return ResumePoint(self._run, int(client.get_run(self._run).data.tags.get(STEP_TAG, "0")))
        found = client.get_experiment_by_name(self._experiment)
        experiment = client.create_experiment(self._experiment) if found is None else found.experiment_id
        self._run = client.create_run(experiment).info.run_id
        params = [Param(name, str(word)) for name, word in words.items()]
        for start in range(0, len(params), MOST_PARAMS):
            client.log_batch(self._run, params=params[start : start + MOST_PARAMS])
        return ResumePoint(self._run, 0)

    def record(self, entries: Sequence[LogEntry]) -> None:
        """Send entries; the step's tag goes with the numbers, so that both arrive or none does."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        metrics = [Metric(_spelt(name), value, now, e.step) for e in entries for name, value in e.numbers.items()]
        pieces = [metrics[start : start + MOST_METRICS] for start in range(0, len(metrics), MOST_METRICS)]
        for piece in pieces:
            told = entries[-1].step if piece is pieces[-1] else piece[-1].step - 1
            self._client.log_batch(self._run, metrics=piece, tags=[RunTag(STEP_TAG, str(told))])
        for entry in entries:
            if entry.picture is not None:
                self._client.log_image(self._run, entry.picture, key=_PICTURES, step=entry.step)

    def close(self) -> None:
        """End the run."""
        self._client.set_terminated(self._run)


def _spelt(name: str) -> str:
    """A name in the letters that MLflow allows."""
    return re.sub(r"[^\w\-. :/]", "_", name)
