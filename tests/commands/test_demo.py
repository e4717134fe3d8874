"""The demo, in small: all of it on a machine without time, what it replaces, and how it says that a machine is slow."""

from pathlib import Path

import pytest

from sfumato.commands import demo as showing
from sfumato.commands.demo import GENERATE, QUICK, SEGMENT, WHOLE, demo
from sfumato.errors import UsageError
from sfumato.experiment.run import Run
from sfumato.training.log import read_log

NO_TIME = 1e-6


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "SEGMENT", SEGMENT._replace(least=3))
    monkeypatch.setattr(showing, "GENERATE", GENERATE._replace(least=4))
    monkeypatch.setattr(showing, "SIZE", "16")
    monkeypatch.setattr(showing, "MASK_SIZE", 32)
    monkeypatch.setattr(showing, "SEEN_ONCE", "network={kind: amortised, channels: 8}")
    monkeypatch.setattr(showing, "QUICK", (*QUICK, "network.channels=8", "network.blocks=1", "sample.steps=4"))


@pytest.mark.slow
def test_without_time_it_makes_the_fewest_steps_and_less_afterwards(
    short: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    result = demo(out=out, minutes=NO_TIME, cases=24)
    page = Path(result["report"]).read_text()
    assert set(result["scores"]["arms"]) == {"ssn", "deterministic twin"}
    assert "deterministic twin" in page and "grade 2" in page
    for run, steps in (("segment", 3), ("segment/twin", 3), ("generate", 4)):
        log = read_log(out / run / "log.jsonl")
        assert [record["step"] for record in log if record["kind"] == "train"] == list(range(1, steps + 1))
    assert len(list((out / "samples").rglob("0*.png"))) == showing.SMALL.images < WHOLE.images
    assert "slow or busy: 3 of 300 steps" in capsys.readouterr().err
    with pytest.raises(UsageError, match="not empty"):
        demo(out=out, minutes=NO_TIME, cases=24)
    showing._begin(out, overwrite=True)
    assert not Run(out / "segment").exists() and not Run(out / "generate").exists(), "they would be resumed"


def test_a_folder_with_something_else_is_no_demo_to_replace(tmp_path: Path) -> None:
    (tmp_path / "segment").mkdir()
    (tmp_path / "segment" / "recipe.yaml").write_text("somebody's run")
    with pytest.raises(UsageError, match="holds something else"):
        demo(out=tmp_path, overwrite=True)
    assert (tmp_path / "segment" / "recipe.yaml").exists()


def test_a_quick_machine_draws_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert showing._extent(SEGMENT.steps, minutes=5.5) is WHOLE
    assert not capsys.readouterr().err
