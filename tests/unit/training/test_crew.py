"""Two processes under `torchrun` do what one does."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sfumato.training import checkpoint

SCRIPT = Path(__file__).with_name("crew.py")


def test_two_processes_are_the_same_mathematics_as_one(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", SCRIPT, tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    spec = importlib.util.spec_from_file_location("crew", SCRIPT)
    pool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pool)
    parts, terms, rows = pool.trained()
    assert pool.POISONED in rows
    told = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert told[0] == told[1]
    assert told[0]["rows"] == rows == [pool.POISONED]
    assert told[0]["step"] == parts.step
    for theirs, ours in zip(told[0]["terms"], terms, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-5)
    found = checkpoint.newest(tmp_path)
    for stem in ("model", "ema", "ema-2", "adversary"):
        for name, tensor in parts.tensors()[stem].items():
            torch.testing.assert_close(found.tensors[stem][name], tensor, rtol=1e-6, atol=1e-6)
