"""The demo, in small: all of it, twice in the same folder."""

from pathlib import Path

import pytest

from sfumato.commands.demo import demo
from sfumato.errors import UsageError
from sfumato.evaluation.images import spaces
from sfumato.training.log import read_log


@pytest.mark.slow
def test_the_demo_runs_and_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "CLASSIFIER_STEPS", 5)
    result = demo(out=tmp_path / "demo", minutes=0.06, cases=16)
    page = Path(result["report"]).read_text()
    assert set(result["scores"]["arms"]) == {"diffusion", "deterministic twin"}
    assert "deterministic twin" in page and "grade 2" in page
    with pytest.raises(UsageError, match="not empty"):
        demo(out=tmp_path / "demo", minutes=0.06, cases=16)
    demo(out=tmp_path / "demo", minutes=0.06, cases=16, overwrite=True)
    for run in ("segment", "segment/twin", "generate"):
        steps = [
            record["step"] for record in read_log(tmp_path / "demo" / run / "log.jsonl") if record["kind"] == "train"
        ]
        assert steps == list(range(1, len(steps) + 1)), "a new run, not the old one resumed"
        assert max(record["seconds"] for record in read_log(tmp_path / "demo" / run / "log.jsonl")) < 60
