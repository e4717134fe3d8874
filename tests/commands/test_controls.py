"""Models that are trained beside a model of masks, from the command line to scores."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sfumato.commands import evaluate, info, train
from sfumato.commands import segment as segmenting
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.errors import UsageError
from sfumato.experiment.run import CONTROLS, Run, load_model
from sfumato.outputs.predictions import _readings
from sfumato.recipe import MASK_TERMS
from sfumato.reporting.figures import overlay
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


@pytest.mark.parametrize(("name", "kind"), [("twin", "none"), ("ssn", "ssn")])
@pytest.mark.parametrize("said", [{"steps": 3}, {"sampler": "heun"}, {"grid": "uniform"}, {"eta": 0.5}])
def test_what_one_call_has_no_use_for_is_refused(
    run: Path, dataset: Path, tmp_path: Path, name: str, kind: str, said: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match=f"--{next(iter(said))} of .*, a model of process {kind}: .* one call"):
        segmenting.segment(run / name, dataset, out=out, sampling=SamplingFlags(**said))
    assert not out.exists()


def test_drawn_logits_as_a_control_have_their_likelihood_alone(dataset: Path, tmp_path: Path) -> None:
    """Terms of an estimate would pull all draws together; the twin keeps them."""
    trained(dataset, tmp_path / "run", TINY, "loss.focal=0.5", "loss.generalised_dice=0.5", steps=1)
    losses = {name: Run(tmp_path / "run").control(name).recipe.loss for name in CONTROLS}
    assert (losses["twin"].focal, losses["twin"].dice, losses["ssn"].process) == (0.5, 1.0, 1.0)
    assert not any(getattr(losses["ssn"], name) for name in MASK_TERMS)


def test_outlines_of_large_images_are_whole_where_members_are_side_by_side() -> None:
    """A square of 700 pixels: each row of the strip that it spans shows its outline."""
    picture, member = np.zeros((1000, 1000, 1), np.uint8), np.zeros((1000, 1000), np.uint8)
    member[150:850, 150:850] = 1
    shown = np.asarray(Image.open(io.BytesIO(_readings(picture, np.stack([member, member])))).convert("RGB"), int)
    outline = overlay(picture, member)[150, 150]
    assert (shown[35:165, :200] == outline).all(2).any(1).all()
    assert shown.shape[1] < 420
