"""A newest checkpoint that is damaged in any way is passed over, said, and the run ends with the same bits."""

import json
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import nn

from sfumato import cli
from sfumato.commands import prepare, toy
from sfumato.training import checkpoint
from sfumato.training.data_order import DataOrder
from sfumato.training.ema import EMA
from sfumato.training.loop import StoppingCriterion, TrainingSettings, training_loop
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import TrainingState

STEPS, NEWEST = 9, 6
IMAGES = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(1))
STREAM, SETTINGS = DataOrder(tuple(range(20)), batch=4, seed=2), TrainingSettings(learning_rate=0.01, warmup_steps=2)


def make() -> TrainingState:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.SiLU(), nn.Dropout(0.2), nn.Conv2d(4, 1, 1))
    return TrainingState(network, EMA(network, half_life=20.0), make_optimizer(network, learning_rate=0.01))


def loss(network, batch):
    clean = IMAGES[list(batch.rows)]
    return {"loss": (network(clean) - clean).square().mean((1, 2, 3))}


def save(folder: Path, parts: TrainingState) -> None:
    checkpoint.save(folder, step=parts.step, tensors=parts.tensors(), headers={}, state=parts.state())


def trained(folder: Path, parts: TrainingState, steps: int) -> None:
    """To a step, with a checkpoint at every third."""
    left = training_loop(parts, loss, STREAM, until=StoppingCriterion(steps=STEPS), settings=SETTINGS)
    for progress in islice(left, steps - parts.step):
        if progress.step % 3 == 0:
            save(folder, parts)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    trained(folder, make(), NEWEST + 2)
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> TrainingState:
    parts = make()
    trained(tmp_path_factory.mktemp("reference"), parts, STEPS)
    return parts


def flipped(file: Path, place: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    file.write_bytes(content)


def changed(manifest: Path, **entries: object) -> None:
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **entries}))


def swapped(file: Path) -> None:
    """The file of the checkpoint before, which is whole."""
    shutil.copy(file.parent.parent / f"step-{NEWEST - 3:08d}" / file.name, file)


MODEL, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "optimizer.safetensors", "state.json", "MANIFEST.json"
DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "weights empty": (MODEL, lambda file: file.write_bytes(b"")),
    "weights cut in half": (MODEL, lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])),
    "weights without the last byte": (MODEL, lambda file: file.write_bytes(file.read_bytes()[:-1])),
    "weights with one byte more": (MODEL, lambda file: file.write_bytes(file.read_bytes() + b"\0")),
    "a bit of a weight": (MODEL, lambda file: flipped(file, 0.9)),
    "a bit of the header": (MODEL, lambda file: flipped(file, 0.05)),
    "weights missing": (MODEL, Path.unlink),
    "weights of another step": (MODEL, swapped),
    "average missing": ("ema.safetensors", Path.unlink),
    "a bit of the average": ("ema.safetensors", lambda file: flipped(file, 0.8)),
    "optimiser cut in half": (OPTIMIZER, lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])),
    "optimiser of another step": (OPTIMIZER, swapped),
    "state empty": (STATE, lambda file: file.write_bytes(b"")),
    "a digit of the state": (STATE, lambda file: file.write_text(file.read_text().replace("6", "7", 1))),
    "state missing": (STATE, Path.unlink),
    "manifest missing": (MANIFEST, Path.unlink),
    "manifest empty": (MANIFEST, lambda file: file.write_bytes(b"")),
    "manifest cut": (MANIFEST, lambda file: file.write_bytes(file.read_bytes()[:-40])),
    "manifest of no version": (MANIFEST, lambda file: changed(file, format="none")),
    "manifest without files": (MANIFEST, lambda file: changed(file, files=None)),
    "folder empty": ("", lambda folder: [path.unlink() for path in folder.iterdir()]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_checkpoint_costs_no_bit(
    tmp_path: Path, stopped: Path, reference: TrainingState, damage: str
) -> None:
    folder = tmp_path / "checkpoints"
    shutil.copytree(stopped, folder)
    name, act = DAMAGE[damage]
    act(folder / f"step-{NEWEST:08d}" / name)
    found = checkpoint.newest(folder)
    assert found is not None and found.step == NEWEST - 3
    assert len(found.skipped) == 1 and f"step-{NEWEST:08d}" in found.skipped[0]
    parts = make()
    parts.restore(found)
    trained(folder, parts, STEPS)
    for stem, group in reference.tensors().items():
        assert all(torch.equal(parts.tensors()[stem][name], value) for name, value in group.items()), stem
    last = checkpoint.newest(folder)
    assert last is not None and last.step == STEPS and not last.skipped


def test_the_command_says_what_it_passed_over_and_never_starts_anew(tmp_path: Path, capsys) -> None:
    toy.toy(tmp_path / "toy", cases=12, size=16, classes=2, readers=1)
    prepare.prepare(tmp_path / "toy", out=tmp_path / "dataset", size="16")
    run = tmp_path / "run"
    words = ["train", "segment", str(tmp_path / "dataset"), "--out", str(run), "--batch", "4", "--steps"]
    settings = ["--set", "network={kind: unet, channels: 4, multipliers: [1, 2], blocks: 1, attention: []}"]
    settings += ["--set", "checkpoint.every_steps=3", "--set", "validate.every_steps=90000", "--set", "sample.steps=1"]
    cli.main([*words, "6", *settings])
    flipped(run / "checkpoints" / "step-00000006" / MODEL, 0.9)
    capsys.readouterr()
    cli.main([*words, "9", *settings])
    said = capsys.readouterr().err
    assert "skipped a damaged checkpoint: step-00000006: model.safetensors has changed" in said
    assert f"resuming {run} at step 3" in said
    for path in (run / "checkpoints").glob("step-*"):
        flipped(path / MODEL, 0.9)
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "9", *settings])
    assert end.value.code == 5
    assert "every checkpoint is damaged" in capsys.readouterr().err
