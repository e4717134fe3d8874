"""The log of a killed and resumed run reads like that of an uninterrupted one."""

import errno
import json

import pytest

from sfumato.errors import ModelError
from sfumato.training.log import Log, read_log


def test_lines_are_there_at_once_and_are_json(tmp_path):
    path = tmp_path / "log.jsonl"
    with Log(path) as log:
        log.write({"step": 1, "loss": float("nan"), "scores": {"dice": [0.5, float("inf")]}})
        assert read_log(path) == [{"step": 1, "loss": None, "scores": {"dice": [0.5, None]}}]
        json.loads(path.read_text())


def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path):
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    with Log(whole) as log:
        for step in range(1, 9):
            log.write({"step": step, "loss": 1 / step})
    with Log(killed) as log:
        for step in range(1, 7):
            log.write({"step": step, "loss": 1 / step})
    with killed.open("ab") as file:
        file.write(b'{"step": 7, "lo')
    with Log(killed, step=4) as log:
        for step in range(5, 9):
            log.write({"step": step, "loss": 1 / step})
    assert killed.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_run_that_starts_anew_forgets_the_old_log(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 5}\n')
    Log(path).close()
    assert read_log(path) == []


def test_a_cut_last_line_is_left_out_and_any_other_damage_named(tmp_path):
    path = tmp_path / "log.jsonl"
    assert read_log(path) == []
    path.write_bytes(b'{"step": 1}\n{"step": 2')
    assert read_log(path) == [{"step": 1}]
    for damage in (b"\x00\x01", b'{"loss": 2}', b"[1]"):
        path.write_bytes(b'{"step": 1}\n' + damage + b'\n{"step": 3}\n')
        with pytest.raises(ModelError, match=r"log\.jsonl: line 2"):
            read_log(path)


def test_a_record_needs_its_step(tmp_path):
    with Log(tmp_path / "log.jsonl") as log, pytest.raises(ValueError, match="step"):
        log.write({"loss": 1.0})


class Full:
    """A file on a disk that is full for a while, and then takes a few bytes at a time."""

    def __init__(self, file, takes):
        self.file, self.takes = file, iter(takes)

    def write(self, content):
        count = next(self.takes, len(content))
        if count == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(content[:count])

    def close(self):
        self.file.close()


@pytest.mark.parametrize("takes", [[0], [3, 0, 0, 5, 0], [20, 0, 0, 0, 0, 1, 1, 1]])
def test_a_full_disk_delays_lines_and_loses_none(tmp_path, takes):
    warnings = []
    with Log(tmp_path / "log.jsonl", warn=warnings.append) as log:
        log._file = Full(log._file, takes)
        for step in range(1, 6):
            log.write({"step": step, "loss": 1 / step})
    assert [record["step"] for record in read_log(tmp_path / "log.jsonl")] == [1, 2, 3, 4, 5]
    assert warnings == ["log.jsonl cannot be written for now (No space left on device); training goes on"]


def test_lines_that_could_never_be_written_are_counted(tmp_path):
    warnings = []
    with Log(tmp_path / "log.jsonl", warn=warnings.append) as log:
        log.write({"step": 1})
        log._file = Full(log._file, [5, *[0] * 9])
        log.write({"step": 2})
        log.write({"step": 3})
    assert len(warnings) == 2 and "last 2 lines" in warnings[1]
    assert read_log(tmp_path / "log.jsonl") == [{"step": 1}], "the cut line is left out"
    with Log(tmp_path / "log.jsonl", step=1) as log:
        log.write({"step": 2})
    assert read_log(tmp_path / "log.jsonl") == [{"step": 1}, {"step": 2}]
