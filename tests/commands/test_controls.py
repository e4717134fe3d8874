"""Models that are trained beside a model of masks, from the command line to scores."""

import json
from pathlib import Path
from typing import Any

import pytest

from sfumato.commands import evaluate, info, train
from sfumato.commands import segment as segmenting
from sfumato.errors import UsageError
from sfumato.experiment.run import load_model
from sfumato.tables import read_rows
from sfumato.training.checkpoint import newest

TINY = "network={kind: unet, channels: 4, multipliers: [1, 2], blocks: 1, attention: []}"
AMORTISED = "network={kind: amortised, channels: 4, multipliers: [1, 2, 2], blocks: 1, stem: 1, stride: 1}"
SETTINGS = ["validate.cases=2", "sample.steps=2", "train.schedule=constant"]


def trained(dataset: Path, run: Path, *settings: str, steps: int = 3, controls: str = "twin,ssn") -> dict[str, Any]:
    return train.segment(
        dataset, out=run, steps=steps, batch=4, set=[*SETTINGS, *(settings or [TINY])], controls=controls
    )


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("controls") / "run"
    told = trained(dataset, run)
    assert told["step"] == told["twin"]["step"] == told["ssn"]["step"] == 3
    return run


def test_masks_of_all_controls_are_written_counted_and_scored(run: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions"
    segmenting.segment(run, dataset, out=out, split="test", samples=3)
    costs = {}
    for folder in (out, out / "twin", out / "ssn"):
        summary = json.loads((folder / "summary.json").read_text())
        costs[folder.name] = tuple(summary.get(name) for name in ("process", "members", "network_calls", "draw_calls"))
        row = read_rows(folder / "manifest.csv")[0]
        assert (int(row["network_calls"]), row.get("draw_calls")) == (
            summary["network_calls"], None if summary.get("draw_calls") is None else str(summary["draw_calls"]),
        )  # fmt: skip
    assert costs == {
        "predictions": ("gaussian", 3, 6, None), "twin": ("none", 1, 1, None), "ssn": ("ssn", 3, 1, 3),
    }  # fmt: skip
    members = [file.read_bytes() for file in sorted((out / "ssn" / "members").glob(f"{row['id']}_*.png"))]
    assert len(set(members)) == 3
    arms = evaluate.masks(out, dataset, out=tmp_path / "scores")["arms"]
    assert set(arms) == {"diffusion", "deterministic twin", "ssn"}


def test_a_control_goes_on_with_its_run_to_the_same_bits(run: Path, dataset: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    trained(dataset, parts, steps=2)
    train.resume(parts, until_steps=3)
    for name in ("", "twin", "ssn"):
        ours, theirs = newest(parts / name / "checkpoints"), newest(run / name / "checkpoints")
        assert ours is not None and theirs is not None and ours.step == theirs.step == 3
        for key, tensor in theirs.tensors["model"].items():
            assert tensor.equal(ours.tensors["model"][key]), f"{name}: {key}"


def test_a_control_says_how_it_draws(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, words in ((run, "ddim, 2 steps"), (run / "twin", "one call"), (run / "ssn", "one call")):
        capsys.readouterr()
        info.info(folder)
        (line,) = (line for line in capsys.readouterr().err.splitlines() if "samples by" in line)
        assert line.split("samples by")[1].strip() == words


def test_a_prior_that_is_learnt_has_controls(dataset: Path, tmp_path: Path) -> None:
    """Those see an image without a part that draws, which is all that their model leaves out of the features."""
    flow = ["process={kind: flow, prediction: logits, prior: learnt, critical_log_snr: -5}", "network.features=false"]
    trained(dataset, tmp_path / "run", AMORTISED, *flow, steps=1)
    assert load_model(tmp_path / "run" / "ssn").recipe.process.kind == "ssn"


@pytest.mark.parametrize(
    ("process", "controls", "finding"),
    [("none", "ssn,twin", "control twin of a model of process none"), ("ssn", "ssn", "control ssn of a model of")],
)
def test_a_model_is_no_control_of_itself(
    dataset: Path, tmp_path: Path, process: str, controls: str, finding: str
) -> None:
    for dry_run in (True, False):
        with pytest.raises(UsageError, match=finding):
            train.segment(
                dataset, out=tmp_path / "run", set=[f"process.kind={process}"], controls=controls, dry_run=dry_run
            )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("process", ["none", "ssn"])
def test_what_has_no_noise_levels_starts_from_no_twin(dataset: Path, tmp_path: Path, process: str) -> None:
    """Else the run is trained, and nothing can be drawn from it."""
    with pytest.raises(UsageError, match=f"sample.start=twin with process {process}"):
        trained(dataset, tmp_path / "run", TINY, f"process.kind={process}", "sample.start=twin", steps=1, controls="")
