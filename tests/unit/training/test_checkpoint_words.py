"""Checkpoints from anyone: manifest, state and tensors are ours, or refused in words before anything is changed."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from sfumato.errors import ModelError
from sfumato.training import checkpoint
from sfumato.training.ema import EMA
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import TrainingState

from ..words import changed

STATE = {
    "step": 2, "seconds": 1.5, "best": {"score": 0.5, "step": 1, "stalled": 0}, "piece": None, "skipped": [1],
    "scale": {"value": 65536.0, "good": 1},
}  # fmt: skip


def fresh() -> TrainingState:
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    parts = TrainingState(network, EMA(network, half_life=60.0), make_optimizer(network, learning_rate=0.01))
    network(torch.ones(1, 3)).sum().backward()
    parts.optimizer.step()
    return parts


def written(folder: Path, *, state: Any = None, tensors: Callable[[dict[str, dict[str, Tensor]]], Any] = dict) -> Path:
    """A checkpoint whose files somebody changed, and whose manifest agrees with them."""
    made = tensors(fresh().tensors())
    path = checkpoint.save(folder, step=2, tensors=made, headers={"sfumato": "{}"}, state=STATE)
    if state is not None:
        (path / "state.json").write_text(state if isinstance(state, str) else json.dumps(state))
        agree(path)
    return path


def agree(path: Path) -> None:
    """Make the manifest list the files as they are now."""
    manifest = json.loads((path / checkpoint.MANIFEST).read_text())
    for name in manifest["files"]:
        content = (path / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (path / checkpoint.MANIFEST).write_text(json.dumps(manifest))


def test_what_was_saved_is_restored(tmp_path: Path) -> None:
    parts = fresh()
    parts.restore(checkpoint.load(written(tmp_path)))
    assert (parts.step, parts.seconds, parts.best, parts.skipped) == (2, 1.5, STATE["best"], [1])
    assert (parts.scale.value, parts.scale.good, parts.piece) == (65536.0, 1, None)


def test_the_score_of_a_run_that_diverged_is_restored(tmp_path: Path) -> None:
    parts, best = fresh(), {"score": float("nan"), "step": 1, "kid": {"score": 1.0}}
    parts.restore(checkpoint.load(written(tmp_path, state={**STATE, "best": best})))
    assert str(parts.best["score"]) == "nan" and parts.best["kid"] == {"score": 1.0}


@pytest.mark.parametrize(
    "state",
    [
        "[1]", "{", '{"step": 2, "step": 2}', "[" * 5000, {}, {**STATE, "step": "x"}, {**STATE, "step": 3},
        {**STATE, "best": [1]}, {**STATE, "best": {"step": -1}}, {**STATE, "scale": {"value": 0.0, "good": 1}},
        {**STATE, "scale": 3}, {**STATE, "skipped": "x"}, {**STATE, "seconds": float("nan")}, {**STATE, "key": 1},
    ],
)  # fmt: skip
def test_another_state_is_refused(state: Any, tmp_path: Path) -> None:
    path, parts = written(tmp_path, state=state), fresh()
    with pytest.raises(ModelError, match=r"state\.json"):
        parts.restore(checkpoint.load(path))
    assert parts.step == 0


def _with(stem: str, name: str, change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda parts: {**parts, stem: {**parts[stem], name: change(parts[stem][name])}}


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (_with("model", "weight", lambda tensor: tensor * float("nan")), "NaN"),
        (_with("ema", "bias", lambda tensor: tensor.to(torch.int8)), "int8"),
        (_with("optimizer", "weight/exp_avg", lambda tensor: tensor[:1]), "exp_avg"),
        (_with("optimizer", "weight/exp_avg_sq", lambda tensor: tensor / 0), "exp_avg_sq"),
        (_with("optimizer", "bias/step", lambda _: torch.ones(3)), "step"),
        (_with("generators", "cpu", lambda tensor: tensor[:7]), "generator"),
        (_with("generators", "cpu", lambda tensor: tensor.float()), "generator"),
        (lambda parts: {**parts, "optimizer": {"weight/exp_avg": parts["optimizer"]["weight/exp_avg"]}}, "exp_avg"),
        (lambda parts: {**parts, "optimizer": {"nowhere/exp_avg": torch.ones(2)}}, "nowhere"),
        (lambda parts: {name: parts[name] for name in parts if name != "ema"}, "no ema"),
        (lambda parts: {name: parts[name] for name in parts if name != "optimizer"}, "no optimizer"),
    ],
)
def test_other_tensors_are_refused(tensors: Callable[[Any], Any], told: str, tmp_path: Path) -> None:
    path = written(tmp_path, tensors=tensors)
    with pytest.raises(ModelError, match=told):
        fresh().restore(checkpoint.load(path))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda manifest: {**manifest, "format": 2}, "newer sfumato"),
        (lambda manifest: {**manifest, "format": "1"}, "damaged"),
        (lambda manifest: {**manifest, "step": "x"}, "step"),
        (lambda manifest: {**manifest, "step": -1}, "step"),
        (lambda manifest: {**manifest, "files": [["a", 1]]}, "files"),
        (lambda manifest: {**manifest, "files": {"state.json": 3}}, "files"),
        (lambda manifest: {**manifest, "files": {"../state.json": {"bytes": 1, "sha256": ""}}}, "files"),
        (lambda manifest: {**manifest, "files": {"/etc/passwd": {"bytes": 1, "sha256": ""}}}, "files"),
        (lambda manifest: [manifest], "damaged"),
    ],
)
def test_another_manifest_is_refused(change: Callable[[Any], Any], told: str, tmp_path: Path) -> None:
    path = written(tmp_path)
    manifest = json.loads((path / checkpoint.MANIFEST).read_text())
    (path / checkpoint.MANIFEST).write_text(json.dumps(change(manifest)))
    for use in (lambda: checkpoint.load(path), lambda: checkpoint.newest(tmp_path)):
        with pytest.raises(ModelError, match=told):
            use()


@pytest.mark.parametrize("words", ["../step-00000002", "/etc", "", "step-x", "step-00000002/../..", "x" * 10**5])
def test_a_mark_names_a_checkpoint_of_its_folder_or_none(words: str, tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "best").write_text(words)
    assert checkpoint.marked(tmp_path, "best") is None
    assert checkpoint.named_checkpoint(tmp_path / "best") is None


def test_changed_checkpoints_are_restored_or_refused_in_words(tmp_path: Path) -> None:
    path, random_ = written(tmp_path), random.Random(5)
    words = {name: json.loads((path / name).read_text()) for name in ("state.json", checkpoint.MANIFEST)}
    for number in range(120):
        name = ("state.json", checkpoint.MANIFEST)[number % 2]
        content = changed(words[name], random_)
        (path / "state.json").write_text(json.dumps(words["state.json"]))
        (path / checkpoint.MANIFEST).write_text(json.dumps(words[checkpoint.MANIFEST]))
        (path / name).write_text(json.dumps(content))
        if name == "state.json":
            agree(path)
        try:
            fresh().restore(checkpoint.load(path))
        except ModelError:
            pass
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\n{name}: {json.dumps(content)}")


def test_a_tensor_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    for content in (b"", b"x" * 100, safetensors.torch.save({})):
        (path / "ema.safetensors").write_bytes(content)
        agree(path)
        with pytest.raises(ModelError):
            fresh().restore(checkpoint.load(path))
