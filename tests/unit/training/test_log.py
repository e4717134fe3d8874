"""The log of a killed and resumed run reads like that of an uninterrupted one."""

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
