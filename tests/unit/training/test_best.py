"""Two best checkpoints: by the metric that decides, and by the other number of a validation."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sfumato.training.best import Other, best_files, best_words, note_validation

LOSS = Other("loss", "loss_held_out")


def judged(*validations: tuple[float, float], metric: str = "dice") -> tuple[dict[str, Any], list[bool]]:
    """Validations of (score, loss) in steps 10, 20, ..."""
    best: dict[str, Any] = {}
    kept = [
        note_validation(best, {"score": score, "loss_held_out": loss}, metric=metric, other=LOSS, step=10 * number)
        for number, (score, loss) in enumerate(validations, start=1)
    ]
    return json.loads(json.dumps(best)), kept


def test_each_has_its_own_step_and_patience_goes_by_the_metric() -> None:
    best, kept = judged((0.5, 0.9), (0.7, 1.0), (0.6, 0.4), (0.6, 0.5))
    assert kept == [True, True, True, False]
    assert best_files(best) == {"best": 20, "best-loss": 30}
    assert best["stalled"] == 2 and best["score"] == 0.7 and best["other"]["value"] == 0.4


@pytest.mark.parametrize("nothing", [math.nan])
def test_what_is_no_number_is_never_the_best_and_hides_nothing_later(nothing: float) -> None:
    best, kept = judged((nothing, nothing), (0.2, nothing), (nothing, 0.3), (0.1, 0.4))
    assert kept == [False, True, True, False]
    assert best_files(best) == {"best": 20, "best-loss": 30}


def test_without_the_other_number_there_is_one() -> None:
    best: dict[str, Any] = {}
    assert note_validation(best, {"score": -1.0}, metric="loss", other=Other("kid", "kid"), step=5)
    assert best_files(best) == {"best": 5} and best_files({}) == {}


def test_another_metric_begins_anew_and_a_state_of_old_goes_on() -> None:
    best, _ = judged((0.9, 0.1))
    assert note_validation(best, {"score": 0.2, "loss_held_out": 0.5}, metric="iou", other=LOSS, step=40)
    assert best_files(best) == {"best": 40, "best-loss": 40}
    old = {"score": 0.9, "step": 7, "stalled": 1}
    assert not note_validation(old, {"score": 0.5}, metric="dice", other=LOSS, step=8)
    assert best_files(old) == {"best": 7} and old["stalled"] == 2


def test_a_checkpoint_is_told_by_what_names_it(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        folder = tmp_path / f"step-{step:08d}"
        folder.mkdir()
        (folder / "state.json").write_text(json.dumps({"best": {"metric": "dice"} if step > 1 else {}}))
    first, second, third = sorted(tmp_path.iterdir())
    (tmp_path / "best").write_text(f"{second.name}\n")
    (tmp_path / "best-loss").write_text(f"{third.name}\n")
    assert [best_words(each) for each in (first, second, third)] == ["", "best by dice", "best by loss"]
    (tmp_path / "best").write_text(f"{third.name}\n")
    assert [best_words(each) for each in (second, third)] == ["", "best by dice and by loss"]
    (tmp_path / "best").write_text(f"{first.name}\n")
    assert best_words(first) == "best by the metric of the run"
