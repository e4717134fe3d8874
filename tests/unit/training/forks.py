"""Processes that compute together, forked from the test: no imports to wait for."""

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    """How a process ended: its exit code (negative for a signal) and what it said."""

    code: int
    said: str


def together(folder: Path, work: Callable[[int], object], *, world: int = 2, timeout: float = 60.0) -> list[Outcome]:
    """Run `work(rank)` in `world` processes that `joined()` can join, and wait for all of them."""
    port = _free_port()
    children = [_forked(folder, work, rank, world, port) for rank in range(world)]
    late = time.monotonic() + timeout
    codes = {}
    while len(codes) < world and time.monotonic() < late:
        for rank, child in enumerate(children):
            if rank not in codes and (done := os.waitpid(child, os.WNOHANG))[0]:
                codes[rank] = os.waitstatus_to_exitcode(done[1])
        time.sleep(0.01)
    for rank, child in enumerate(children):
        if rank not in codes:
            os.kill(child, 9)
            os.waitpid(child, 0)
    assert len(codes) == world, f"process {set(range(world)) - set(codes)} did not end in {timeout} s"
    return [Outcome(codes[rank], _said(folder, rank)) for rank in range(world)]


def _forked(folder: Path, work: Callable[[int], object], rank: int, world: int, port: int) -> int:
    child = os.fork()
    if child:
        return child
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    code = 1
    with _file(folder, rank).open("w") as file:
        os.dup2(file.fileno(), 2)
        sys.stderr = file
        try:
            work(rank)
            code = 0
        except SystemExit as end:
            code = int(end.code)
        except BaseException as error:
            traceback.print_exc()
            code = getattr(error, "exit_code", 1)
    os._exit(code)


def _said(folder: Path, rank: int) -> str:
    return _file(folder, rank).read_text()


def _file(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank}.txt"


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]
