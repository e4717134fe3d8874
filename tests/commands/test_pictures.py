"""A picture that cannot be drawn is a warning: the work that it shows is done, and the warning is in the log."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.commands.conftest import TINY

from sfumato.commands import generate as generating
from sfumato.commands import interpolate as interpolating
from sfumato.commands import reconstruct as reconstructing
from sfumato.commands import segment as segmenting
from sfumato.commands import train
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.experiment import trainer
from sfumato.experiment.pictures import spared_picture
from sfumato.outputs import predictions, samples
from sfumato.reporting.page import write_report
from sfumato.reporting.sections import runs
from sfumato.training.log import read_log
from sfumato.verbs import generate as generation
from sfumato.verbs import interpolate as interpolation
from sfumato.verbs import reconstruct as reconstruction


def fails(*_: object, **__: object) -> None:
    raise RuntimeError("no ink\nno paper")


def test_what_fails_is_told_in_a_line() -> None:
    told: list[str] = []
    with spared_picture("the sheet", tell=told.append):
        fails()
    assert told == ["warning: the sheet could not be drawn (RuntimeError: no ink); all else goes on"]
    with pytest.raises(KeyboardInterrupt), spared_picture("the sheet", tell=told.append):
        raise KeyboardInterrupt
    with spared_picture("the sheet", tell=told.append):
        pass
    assert len(told) == 1


def test_a_training_outlives_its_previews(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "sheet", fails)
    found = train.segment(dataset, out=tmp_path / "run", steps=2, batch=4, set=TINY)
    assert found["step"] == 2 and (tmp_path / "run" / "checkpoints").is_dir()
    warnings = [record for record in read_log(tmp_path / "run" / "log.jsonl") if record.get("kind") == "warning"]
    assert len(warnings) == 1 and "RuntimeError: no ink" in warnings[0]["text"]
    assert not any(map(trainer._is_warning, warnings))  # that the model learns by heart would still be told
    assert "no ink" in write_report([tmp_path / "run"], tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("module", "name", "verb"),
    [
        (generation, "film_pictures", "generate"),
        (samples, "grid", "generate"),
        (reconstruction, "strips", "reconstruct"),
        (interpolation, "strip", "interpolate"),
        (predictions, "overlay", "segment"),
        (predictions, "film_pictures", "segment"),
    ],
)
def test_results_outlive_their_pictures(
    module: object, name: str, verb: str, dataset: Path, generate_run: Path, segment_run: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(module, name, fails)
    verbs: dict[str, Callable[[], object]] = {
        "generate": lambda: generating.generate(
            generate_run, out=tmp_path / "out", count=2, sampling=SamplingFlags(steps=1)
        ),
        "reconstruct": lambda: reconstructing.reconstruct(
            generate_run, dataset, out=tmp_path / "out", count=2, sampling=SamplingFlags(steps=2)
        ),
        "interpolate": lambda: interpolating.interpolate(
            generate_run, out=tmp_path / "out", seeds="1,2", sampling=SamplingFlags(steps=1)
        ),
        "segment": lambda: segmenting.segment(
            segment_run, dataset, out=tmp_path / "out", split="test", sampling=SamplingFlags(steps=2)
        ),
    }
    verbs[verb]()
    assert (tmp_path / "out" / "manifest.csv").is_file()
    assert "could not be drawn (RuntimeError: no ink)" in " ".join(capsys.readouterr().err.split())


def test_a_page_outlives_its_figures(segment_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "chart", fails)
    text = write_report([segment_run], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "pictures are missing here" in text and "RuntimeError: no ink" in text and "Automatic choices" in text
