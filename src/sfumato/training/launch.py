"""Who started this process, and which of how many it is: `torchrun`, or `srun` of SLURM.

Both say so in environment variables. Everything here speaks of torchrun's: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
MASTER_PORT; `adopt_slurm` translates SLURM's. Nothing here loads torch.
"""

import os
import re
from collections.abc import MutableMapping

from sfumato.errors import SfumatoError
from sfumato.escape import visible

_FIRST_PORT, _PORTS = 20_000, 10_000


def adopt_slurm(environment: MutableMapping[str, str] = os.environ) -> None:
    """Where `srun` started several tasks, and no `torchrun` within them: say it in torchrun's variables.

    The tasks meet on the first node of the job step, at a port that follows from the numbers of job and step. A batch
    script without `srun` is one process, however many tasks were allocated to it.
    """
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if "WORLD_SIZE" in environment or tasks == 1 or "SLURM_PROCID" not in environment:
        return
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "localhost")
    job, step = int(environment.get("SLURM_JOB_ID", "0")), int(environment.get("SLURM_STEP_ID", "0"))
    environment["RANK"], environment["WORLD_SIZE"] = environment["SLURM_PROCID"], str(tasks)
    environment["LOCAL_RANK"] = environment.get("SLURM_LOCALID", "0")
    environment.setdefault("MASTER_ADDR", first_node(nodes))
    environment.setdefault("MASTER_PORT", str(_FIRST_PORT + (job * 16 + step) % _PORTS))


def first_node(nodes: str) -> str:
    """The first of a list of nodes as SLURM writes it: `node[003-007,010]`, `a1,b[2-3]`, `gpu-[1-2]-x`."""
    match = re.match(r"([^\[,]*)(?:\[(\d+)[^\]]*\])?([^,]*)", nodes)
    assert match is not None
    return "".join(part or "" for part in match.groups())


def started_rank() -> int:
    """Number of this process among those that were started together."""
    return int(os.environ.get("RANK", "0"))


def started_world() -> int:
    """How many processes were started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def cause_of(error: BaseException) -> str:
    """Why a process failed, in one line."""
    finding = error.finding if isinstance(error, SfumatoError) else f"{type(error).__name__}: {error}"
    return finding.partition("\n")[0].rstrip(": ")


def failure_line(cause: str, *, rank: int, world: int) -> str:
    """The last line of the output when one of several processes failed."""
    return f"error: process {rank} of {world} (counted from 0) failed: {visible(cause)}"
