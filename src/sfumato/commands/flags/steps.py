"""The flag `--steps`."""

from typing import Literal

from sfumato.commands.flags.numbers import Count

Steps = Count | Literal["auto"]
