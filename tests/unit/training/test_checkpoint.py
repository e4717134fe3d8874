"""Checkpoints survive damage, full disks and kills; what is damaged is said, never used."""

import errno
import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import nn

from sfumato.errors import ModelError, ResourceError
from sfumato.training import checkpoint
from sfumato.training.weights import fill_weights, load_weights

FILES = ("model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json")


def tensors(step: int) -> dict[str, dict[str, torch.Tensor]]:
    return {stem: {"weight": torch.full((50,), float(step))} for stem in ("model", "ema", "optimizer")}


def save(folder: Path, step: int, *, keep: int = 2) -> Path:
    headers, state = {"sfumato": '{"classes": 2}'}, {"step": step, "best": {"dice": 0.5}}
    return checkpoint.save(folder, step=step, tensors=tensors(step), headers=headers, state=state, keep=keep)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_comes_back(tmp_path):
    path = save(tmp_path, 12000)
    assert path.name == "step-00012000"
    found = checkpoint.newest(tmp_path)
    assert found.path == path == checkpoint.marked(tmp_path, "last")
    assert found.step == found.state["step"] == 12000
    assert found.skipped == ()
    assert found.headers["model"] == found.headers["ema"] == {"sfumato": '{"classes": 2}'}
    assert torch.equal(found.tensors["optimizer"]["weight"], torch.full((50,), 12000.0))
    manifest = json.loads((path / "MANIFEST.json").read_text())
    assert sorted(manifest["files"]) == sorted(FILES)
    assert manifest["versions"]["torch"].startswith(torch.__version__.partition("+")[0])


def test_no_checkpoint_is_not_an_error(tmp_path):
    assert checkpoint.newest(tmp_path / "nowhere") is None
    assert checkpoint.marked(tmp_path, "best") is None


def test_the_step_number_decides_and_not_the_clock(tmp_path):
    for step in (9, 100_000_000, 99_999_999):
        save(tmp_path / str(step), step)
        shutil.copytree(tmp_path / str(step), tmp_path / "all", dirs_exist_ok=True)
    assert checkpoint.newest(tmp_path / "all").step == 100_000_000


def test_tied_strided_and_scalar_tensors_are_stored(tmp_path):
    tied = torch.randn(4, 3)
    group = {"a": tied, "b": tied, "c": tied.t(), "d": torch.tensor(3), "e": tied[1:]}
    checkpoint.save(tmp_path, step=1, tensors={"model": group}, headers={}, state={})
    stored = checkpoint.newest(tmp_path).tensors["model"]
    assert all(torch.equal(stored[name], group[name]) for name in group)


def test_rests_of_a_killed_process_are_swept_even_with_the_same_pid(tmp_path):
    for rest in (f".staging-00000003-{os.getpid()}", ".trash-step-00000001"):
        (tmp_path / rest).mkdir(parents=True)
        (tmp_path / rest / "model.safetensors").write_bytes(b"half")
    save(tmp_path, 3)
    assert names(tmp_path) == ["last", "step-00000003"]


# --- pruning


def test_two_and_the_best_are_kept(tmp_path):
    checkpoint.mark(tmp_path, "best", save(tmp_path, 1))
    checkpoint.mark(tmp_path, "best-loss", save(tmp_path, 2))
    for step in range(3, 6):
        save(tmp_path, step, keep=1)
    steps = [f"step-0000000{step}" for step in (1, 2, 4, 5)]
    assert names(tmp_path) == ["best", "best-loss", "last", *steps]


def test_keep_is_heeded(tmp_path):
    for step in range(1, 7):
        save(tmp_path, step, keep=4)
    assert [name for name in names(tmp_path) if "step" in name] == [f"step-0000000{step}" for step in (3, 4, 5, 6)]


def test_every_nth_checkpoint_is_never_thrown_away(tmp_path):
    def stays(step):
        return step % 3 == 0

    for step in range(1, 10):
        checkpoint.save(tmp_path, step=step, tensors=tensors(step), headers={}, state={}, stays=stays)
    assert [path.name for path in sorted(tmp_path.glob("step-*"))] == [f"step-{step:08d}" for step in (3, 6, 8, 9)]


def test_a_damaged_checkpoint_does_not_count_as_kept(tmp_path):
    save(tmp_path, 1)
    flip(save(tmp_path, 2) / "model.safetensors")
    save(tmp_path, 3)
    assert "step-00000001" in names(tmp_path)


def test_a_step_that_is_there_is_kept_and_a_damaged_one_replaced(tmp_path):
    path = save(tmp_path, 7)
    before = (path / "state.json").stat().st_ino
    save(tmp_path, 7)
    assert (path / "state.json").stat().st_ino == before
    flip(path / "model.safetensors")
    save(tmp_path, 7)
    assert checkpoint.newest(tmp_path).step == 7
    assert names(tmp_path) == ["last", "step-00000007"]


# --- damage


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_bytes(b""),
    "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "one byte less": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "one byte more": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "one bit": flip,
    "missing": lambda file: file.unlink(),
}


MANIFEST_DAMAGE = ["empty", "half", "one byte less", "missing"]
"""The manifest has no checksum of its own: a change that leaves it readable shows in the files that it lists."""


@pytest.mark.parametrize(
    ("file", "damage"),
    [*itertools.product(FILES, DAMAGE), *(("MANIFEST.json", damage) for damage in MANIFEST_DAMAGE)],
)
def test_damage_is_found_named_and_passed_over(tmp_path, file, damage):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    DAMAGE[damage](newest / file)
    found = checkpoint.newest(tmp_path)
    assert found.step == 1
    assert len(found.skipped) == 1
    assert "step-00000002" in found.skipped[0]
    assert file in found.skipped[0]
    with pytest.raises(ModelError, match=file):
        checkpoint.load(newest)


def test_an_optimizer_of_another_step_is_found(tmp_path):
    first, second = save(tmp_path, 1), save(tmp_path, 2)
    shutil.copy(first / "optimizer.safetensors", second / "optimizer.safetensors")
    assert checkpoint.newest(tmp_path).step == 1


def test_all_damaged_is_an_error_and_not_a_fresh_start(tmp_path):
    for step in (1, 2):
        flip(save(tmp_path, step) / "ema.safetensors")
    with pytest.raises(ModelError, match=r"every checkpoint is damaged[\s\S]*step-00000002[\s\S]*step-00000001"):
        checkpoint.newest(tmp_path)


def test_a_newer_format_is_refused_and_not_passed_over(tmp_path):
    save(tmp_path, 1)
    manifest = save(tmp_path, 2) / "MANIFEST.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(ModelError, match="newer sfumato"):
        checkpoint.newest(tmp_path)


# --- full disks and kills


def interrupt(monkeypatch, at: int, action: Callable[[], None]) -> list[str]:
    """Act instead of the `at`-th call that changes a disk; the names of the calls that were made."""
    calls: list[str] = []
    for name in ("mkdir", "fsync", "rename", "replace", "unlink", "rmdir"):
        original = getattr(os, name)

        def wrapped(*arguments, _name=name, _original=original, **options):
            calls.append(_name)
            if len(calls) == at:
                action()
            return _original(*arguments, **options)

        monkeypatch.setattr(os, name, wrapped)
    return calls


def raise_full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def count_calls(tmp_path: Path, monkeypatch) -> int:
    for step in (1, 2):
        save(tmp_path / "count", step)
    with monkeypatch.context() as patch:
        calls = interrupt(patch, 0, raise_full)
        save(tmp_path / "count", 3)
    return len(calls)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_at_any_point_costs_nothing_old(tmp_path, monkeypatch, number):
    """From the second call on: the first makes the folder, which is there."""

    def fail() -> None:
        raise OSError(number, os.strerror(number))

    for at in range(2, count_calls(tmp_path, monkeypatch) + 1):
        folder = tmp_path / str(at)
        for step in (1, 2):
            save(folder, step)
        with monkeypatch.context() as patch:
            interrupt(patch, at, fail)
            with pytest.raises(ResourceError, match=r"checkpoint"):
                save(folder, 3)
        assert checkpoint.newest(folder).step in (2, 3)
        assert checkpoint.load(folder / "step-00000002").step == 2
        assert not [name for name in names(folder) if name.startswith(".")]


def test_a_disk_without_room_is_refused_before_writing(tmp_path, monkeypatch):
    save(tmp_path, 1)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: mock.Mock(free=1000))
    with pytest.raises(ResourceError, match=r"disk is full.* and 1 kB are free") as caught:
        save(tmp_path, 2)
    assert caught.value.exit_code == 4
    assert names(tmp_path) == ["last", "step-00000001"]


def test_a_kill_at_any_point_costs_nothing_old(tmp_path, monkeypatch):
    total = count_calls(tmp_path, monkeypatch)
    assert total > 14
    for at in range(1, total + 1):
        folder = tmp_path / str(at)
        for step in (1, 2):
            save(folder, step)
        child = os.fork()
        if child == 0:
            with monkeypatch.context() as patch:
                interrupt(patch, at, lambda: os._exit(9))
                save(folder, 3)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert checkpoint.newest(folder).step in (2, 3)
        assert not checkpoint.newest(folder).skipped
        save(folder, 4)
        assert not [name for name in names(folder) if name.startswith(".")]
        good = [path for path in folder.glob("step-*") if checkpoint.load(path)]
        assert len(good) == 2


# --- lone files


def test_a_lone_file_describes_itself(tmp_path):
    weights, header = load_weights(save(tmp_path, 3) / "ema.safetensors")
    assert header == {"sfumato": '{"classes": 2}'}
    assert torch.equal(weights["weight"], torch.full((50,), 3.0))


class Trap:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model.ckpt", "model.safetensors", "model"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_and_never_run(tmp_path, name, zipped):
    file, marker = tmp_path / name, tmp_path / "marker"
    torch.save({"weight": Trap(marker)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="this is a pickle"):
        load_weights(file)
    assert not marker.exists()


@pytest.mark.parametrize("length", [0x4B50, 0x0280])
def test_safetensors_whose_header_is_as_long_as_a_pickle_begins_are_read(tmp_path, length):
    header = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(length)
    (tmp_path / "it").write_bytes(length.to_bytes(8, "little") + header + bytes(4))
    assert load_weights(tmp_path / "it")[0]["x"].tolist() == [0]


@pytest.mark.parametrize("damage", ["empty", "half", "one byte less", "one byte more", "missing"])
def test_a_damaged_lone_file_is_named(tmp_path, damage):
    file = save(tmp_path, 1) / "model.safetensors"
    DAMAGE[damage](file)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_weights(file)


def test_weights_of_another_network_are_told_apart_shortly():
    network = nn.Sequential(*(nn.Linear(2, 2) for _ in range(30)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ModelError, match=r"src: .*[\s\S]*0\.bias: the network has \(2,\), the file nothing") as caught:
        fill_weights(network, {"0.weight": torch.zeros(2, 2), "new": torch.zeros(1)}, source="src")
    assert len(str(caught.value).splitlines()) < 12
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_every_call_was_counted():
    """The kill test stands on the calls it knows: nothing else in the module changes the disk."""
    source = Path(checkpoint.__file__).read_text()
    known = ("mkdir(", ".rename(", ".replace(", "rmtree(", ".unlink(", 'open("xb")')
    others = ("write_text(", "write_bytes(", "shutil.move", "copy", "symlink_to", "touch(", 'open("w")', 'open("wb")')
    assert all(word in source for word in known)
    assert not list(itertools.filterfalse(lambda word: word not in source, others))
