"""`--device`: where networks run, the same flag for every verb that runs one."""

from typing import Annotated

from cyclopts import Parameter

Device = Annotated[
    str,
    Parameter(help="Where to work: auto (a CUDA GPU if there is one, else the CPU), cpu, cuda, cuda:1 ... or mps."),
]
"""A word for `sfumato.training.processes.choose_device`."""
