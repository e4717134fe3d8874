"""Numbers of 16 bits: where they pay, and what float16 needs to survive.

bfloat16 has the range of float32 and needs nothing. In float16 small gradients vanish, so the loss is multiplied by a
scale and the gradient divided by it; a scale too large makes the gradient infinite, and the step is repeated with half
of it.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch

from sfumato.errors import UsageError

Precision = Literal["fp32", "bf16", "fp16"]

DTYPES: Mapping[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(wish: str, device: torch.device) -> Precision:
    """The precision to train with.

    Args:
        wish: `auto`, or one of `fp32`, `bf16`, `fp16`, which is taken as it is.
        device: where the network runs.

    Returns:
        For `auto`: on CUDA bf16 where the hardware has it and else fp16; on a CPU bf16 only with AMX tiles, as
        elsewhere the 16-bit convolutions gain too little; fp32 on other devices.

    Raises:
        UsageError: the wish is unknown.
    """
    if wish in get_args(Precision):
        return cast(Precision, wish)
    if wish != "auto":
        raise UsageError(f"precision '{wish}' is unknown", expected=f"auto, {', '.join(get_args(Precision))}")
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and _has_tiles() else "fp32"


def _has_tiles() -> bool:
    """Whether the CPU has AMX tiles and may use them.

    Where ATEN_CPU_CAPABILITY holds torch to an older processor its attention in bfloat16 raises: what packs the keys
    was compiled without what the processor has (`findings/torch_bf16_attention_held_to_avx2.sh`).
    """
    free = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return free and bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a forward pass runs in this precision."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[precision])


@dataclass
class LossScale:
    """The scale of a float16 loss, doubled after `patience` good steps and halved by an overflow.

    Attributes:
        value: the scale now.
        good: steps since it last changed.
    """

    value: float = 65536.0
    good: int = 0
    patience = 2000

    def shrink(self) -> bool:
        """After an overflow. False if the scale was 1 already: then the gradient itself is not finite."""
        if self.value <= 1:
            return False
        self.value, self.good = self.value / 2, 0
        return True

    def grow(self) -> None:
        """After a good step."""
        self.good += 1
        if self.good >= self.patience:
            self.value, self.good = self.value * 2, 0
