"""Who started a process: torchrun's variables, and SLURM's in their words."""

import pytest

from sfumato.errors import DataError
from sfumato.training.launch import adopt_slurm, cause_of, failure_line, first_node

STEP = {
    "SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "2", "SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8",
    "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_JOB_NODELIST": "gpu[007-010,012],big1",
}  # fmt: skip


def adopted(**changes: str | None) -> dict[str, str]:
    environment = {name: value for name, value in {**STEP, **changes}.items() if value is not None}
    adopt_slurm(environment)
    return {name: value for name, value in environment.items() if not name.startswith("SLURM")}


def test_tasks_of_srun_are_processes_that_meet_on_the_first_node():
    found = adopted()
    port = found.pop("MASTER_PORT")
    assert found == {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "gpu007"}
    assert 20_000 <= int(port) < 30_000
    assert adopted(SLURM_PROCID="0")["MASTER_PORT"] == port
    assert adopted(SLURM_STEP_ID="3")["MASTER_PORT"] != port
    assert adopted(SLURM_JOB_ID="4712")["MASTER_PORT"] != port


def test_the_nodes_of_the_step_come_first_and_a_given_address_stays():
    assert adopted(SLURM_STEP_NODELIST="big1")["MASTER_ADDR"] == "big1"
    assert adopted(MASTER_ADDR="10.0.0.1")["MASTER_ADDR"] == "10.0.0.1"


def test_a_batch_script_one_task_and_torchrun_are_left_alone():
    assert adopted(SLURM_STEP_NUM_TASKS=None, SLURM_STEP_ID=None) == {}
    assert adopted(SLURM_STEP_NUM_TASKS="1") == {}
    assert adopted(WORLD_SIZE="2", RANK="1") == {"WORLD_SIZE": "2", "RANK": "1"}


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node1", "node1"), ("a1,b[2-3]", "a1"), ("node[003-007,010]", "node003"), ("n[9,12]", "n9"),
        ("gpu-[1-2]-x", "gpu-1-x"), ("localhost", "localhost"),
    ],
)  # fmt: skip
def test_the_first_of_a_list_of_nodes(nodes, first):
    assert first_node(nodes) == first


def test_the_last_line_names_process_and_cause():
    error = DataError("a.png: cut\n  row 7", remedy="send it again")
    assert failure_line(cause_of(error), rank=1, world=2) == "error: process 1 of 2 (counted from 0) failed: a.png: cut"
    assert cause_of(ValueError("boom\nmore")) == "ValueError: boom"
    assert cause_of(KeyboardInterrupt()) == "KeyboardInterrupt"
