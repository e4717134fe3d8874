"""`sfumato ema`: a model of another width after training is the average that tracking it would have given."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sfumato.commands import train
from sfumato.commands.ema import ema
from sfumato.commands.info import info
from sfumato.errors import ModelError, UsageError
from sfumato.experiment.run import Model, Run, load_guide, load_model
from sfumato.training.averages import kept_averages
from sfumato.training.checkpoint import newest

STEPS = 48
SETTINGS = [
    "network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: []}",
    "train.warmup=0", "train.schedule=constant", "train.learning_rate=3e-3",
    "validate.every_steps=100", "validate.cases=2", "sample.steps=2",
    "checkpoint.every_steps=20", "checkpoint.keep_every_steps=12",
]  # fmt: skip


def trained(dataset: Path, name: str, widths: str) -> Path:
    run = dataset.parent / name
    train.segment(dataset, out=run, steps=STEPS, batch=4, set=[*SETTINGS, f"train.ema_widths={widths}"])
    return run


@pytest.fixture(scope="module")
def run(dataset: Path) -> Path:
    return trained(dataset, "widths", "[0.05, 0.1]")


@pytest.fixture(scope="module")
def reference(dataset: Path) -> Path:
    """The same training, whose averages are of the widths that are made afterwards."""
    return trained(dataset, "reference", "[0.07, 0.15]")


def flat(weights: Model | dict[str, Tensor]) -> Tensor:
    tensors = dict(weights.network.named_parameters()) if isinstance(weights, Model) else weights
    return torch.cat([tensors[name].double().flatten() for name in sorted(tensors)])


def tracked(run: Path, width: float, step: int = STEPS) -> Tensor:
    return flat(load_model(run / "averages" / f"step-{step:08d}-width-{width!r}.safetensors"))


@pytest.mark.parametrize("width", [0.07, 0.15])
@pytest.mark.parametrize("at_step", [None, 36])
def test_it_is_the_average_that_was_not_tracked(
    run: Path, reference: Path, tmp_path: Path, width: float, at_step: int | None
) -> None:
    """To 1 % of the distance between the two widths that were; it keeps less than that unsaid."""
    out, step = tmp_path / "model.safetensors", at_step or STEPS
    told = ema(run, width=width, out=out, at_step=at_step)
    assert told["step"] == load_model(out).step == step
    assert told["error"] < 0.01
    assert sum(each["share"] for each in told["made_of"]) == pytest.approx(1.0)
    apart = (tracked(run, 0.05, step) - tracked(run, 0.1, step)).norm()
    assert (flat(load_model(out)) - tracked(reference, width, step)).norm() < 0.01 * apart
    assert (tracked(run, 0.05, step) - tracked(reference, width, step)).norm() > 0.1 * apart


def test_a_tracked_width_comes_back_and_is_what_a_run_gives(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    ema(run, width=0.05, out=out)
    last = newest(Run(run).checkpoints)
    assert last is not None and last.tensors.keys() >= {"model", "ema", "ema-2", "optimizer"}
    torch.testing.assert_close(flat(load_model(out)), flat(dict(last.tensors["ema"])), rtol=0, atol=1e-6)
    assert torch.equal(tracked(run, 0.05), flat(dict(last.tensors["ema"])))
    assert torch.equal(tracked(run, 0.1), flat(dict(last.tensors["ema-2"])))


def test_averages_are_kept_24_times_and_every_twelfth_checkpoint(run: Path) -> None:
    kept = kept_averages(Run(run).averages)
    assert [(each.step, each.width) for each in kept] == [(s, w) for s in range(2, STEPS + 1, 2) for w in (0.05, 0.1)]
    steps = {int(path.name[5:]) for path in Run(run).checkpoints.glob("step-*")}
    assert steps == {12, 24, 36, 40, 48}


def test_a_resumed_run_keeps_the_same_averages(run: Path, tmp_path: Path) -> None:
    """Also that of the checkpoint's own step, which is written before it."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for step in (36, 40, 48):
        shutil.rmtree(copy / "checkpoints" / f"step-{step:08d}")
    for each in kept_averages(copy / "averages"):
        if each.step > 24:
            each.file.unlink()
    train.resume(copy)
    ours, theirs = (
        {each.file.name: each.file.read_bytes() for each in kept_averages(folder / "averages")}
        for folder in (run, copy)
    )
    assert ours == theirs


def test_the_model_tells_of_itself_and_guides(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "wide.safetensors"
    ema(run, width=0.2, out=out)
    about = info(out)["average"]
    assert about["width"] == 0.2 and len(about["made_of"]) == 48 and 0 < about["error"] < 0.05
    assert about["made_of"][-1].keys() == {"step", "width", "share"}
    assert "average" not in info(run)["model"]
    guidance = load_model(run).guidance(load_guide(str(out), run), guidance=2.0)
    assert guidance.weak is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"width": 0.3}, r"width of 0\.3.*0\.01 to 0\.25"),
        ({"width": 0.005}, r"width of 0\.005"),
        ({"at_step": 35}, r"no averages of step 35.*34, 36"),
        ({"out": Path("model.pt")}, r"model\.pt is no model file"),
    ],
)
def test_what_cannot_be_is_refused(run: Path, tmp_path: Path, words: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){message}"):
        ema(run, **{"width": 0.07, "out": tmp_path / "model.safetensors", **words})


def test_a_run_without_the_pair_is_refused(segment_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)kept no averages.*train\.ema_widths"):
        ema(segment_run, width=0.07, out=tmp_path / "model.safetensors")


def test_a_dry_run_writes_nothing_and_a_file_is_replaced_only_when_told(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    assert ema(run, width=0.07, out=out, dry_run=True)["error"] < 0.01
    assert not out.exists()
    out.write_bytes(b"mine")
    with pytest.raises(UsageError, match="there already"):
        ema(run, width=0.07, out=out)
    assert out.read_bytes() == b"mine"
    ema(run, width=0.07, out=out, overwrite=True)
    assert load_model(out).step == STEPS


def test_a_damaged_average_is_named(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run / "averages", copy / "averages")
    file = copy / "averages" / "step-00000010-width-0.05.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"step-00000010-width-0\.05\.safetensors: damaged"):
        ema(copy, width=0.07, out=tmp_path / "model.safetensors")


def test_far_widths_say_so(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ema(run, width=0.01, out=tmp_path / "model.safetensors", dry_run=True)
    assert "this is far" in capsys.readouterr().err
