"""What a training says of where its numbers go."""

import pytest

from sfumato.experiment.journal import Journal
from sfumato.experiment.training_log import tell_trackers
from sfumato.recipe import Track


@pytest.mark.parametrize(
    ("track", "told"),
    [
        (Track(), []),
        (Track(wandb="lesions"), ["Weights & Biases", "lesions"]),
        (Track(mlflow="lesions", mlflow_uri="https://elsewhere"), ["MLflow", "https://elsewhere", "lesions"]),
        (Track(mlflow="lesions"), ["MLflow", "itself"]),
    ],
)
def test_whom_the_numbers_of_a_run_are_told(track: Track, told: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    tell_trackers(Journal(None), track)
    said = capsys.readouterr().err
    assert bool(said) == bool(told) and all(word in " ".join(said.split()) for word in told)
