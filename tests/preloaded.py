"""Commands in fresh processes that start at once: a server imports the package and forks a process for each command.

A command that is to be killed needs a process of its own, and a new interpreter spends seconds on importing torch.
`Preloaded` starts this file as a program. It reads one JSON line for each request and answers with one number:

    {"start": [words], "processes": 1, "cwd": ..., "stderr": path}   a process that runs `sfumato WORDS`: its process id
    {"poll": pid}, {"wait": pid}   its exit code (negative: the signal), or null while it runs

With more `processes` it is torchrun's agent, which forks them, in place of starting interpreters, and minds them.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self


class Started:
    """A command at work, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, server: "Preloaded", pid: int, stderr: Path) -> None:
        self.pid, self.returncode, self.stderr = pid, None, stderr
        self._server = server

    def poll(self) -> int | None:
        return self._code("poll")

    def wait(self) -> int:
        return self._code("wait")

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def _code(self, how: str) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.ask({how: self.pid})
        return self.returncode


class Preloaded:
    """The server; a context manager. `stderr` of its commands goes to files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def start(self, words: Sequence[object], *, processes: int = 1) -> Started:
        self._count += 1
        stderr = self._folder / f"stderr-{self._count}"
        command = {"start": [str(word) for word in words], "processes": processes}
        return Started(self, self.ask({**command, "cwd": str(Path.cwd()), "stderr": str(stderr)}), stderr)

    def ask(self, request: dict[str, object]) -> int | None:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _started(words: list[str], processes: int, cwd: str, stderr: str) -> int:
    """Fork a process that runs a command as a shell, or torchrun, would have started it."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.chdir(cwd)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT), 2)
        sys.argv = ["sfumato", *words]
        main() if processes == 1 else _minded(processes)
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _minded(processes: int) -> None:
    """What `torchrun --standalone` does, with processes that are forked.

    Raises:
        ChildFailedError: one of them failed.
    """
    one_machine = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id="tests",
        start_method="fork",
        max_restarts=0,
        monitor_interval=0.1,
    )
    elastic_launch(one_machine, main)()


def _ended(pid: int, *, wait: bool) -> int | None:
    ended, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            answer = _started(request["start"], request["processes"], request["cwd"], request["stderr"])
        else:
            ((how, pid),) = request.items()
            answer = _ended(pid, wait=how == "wait")
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    import torch
    import torch._dynamo  # optimisers import it at their first step
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    import sfumato.commands.generate
    import sfumato.commands.segment
    import sfumato.commands.train
    import sfumato.commands.tune  # noqa: F401
    from sfumato.cli import main

    torch.set_num_threads(1)
    _serve()
