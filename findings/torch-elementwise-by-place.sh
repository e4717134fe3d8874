#!/usr/bin/env bash
# torch 2.13.0 on a CPU with AVX2 or AVX-512.
#
# One would expect that an element-wise function (sigmoid, SiLU, softplus, GELU) gives equal numbers for equal inputs,
# whatever lies beside them: matrix products add up in an order that depends on the shape, these add up nothing.
#
# What happens: they have a vector form and a scalar form, or a contiguous and a strided one, whose last bits differ,
# and which of them an element gets depends on its place. SiLU of a crop is not the crop of SiLU; a channels-last tensor
# gives other bits than the same tensor in order; of a long tensor the elements at the seams between threads change with
# the number of threads, so OMP_NUM_THREADS alone changes results.
#
# Why it matters: windows that are views of a scan are not equal where they overlap, and a network in channels-last gives
# other bits, before any convolution has been computed. Who promises bits must fix layout, shape and threads, or compare
# with a tolerance.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/see.py" <<'PYTHON'
import sys

import torch
from torch.nn import functional

FUNCTIONS = {"sigmoid": torch.sigmoid, "SiLU": functional.silu, "softplus": functional.softplus, "GELU": functional.gelu}


def differing(a: torch.Tensor, b: torch.Tensor) -> int:
    assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)  # the last bits only
    return int((a != b).sum())


def on(threads: int, function, x: torch.Tensor) -> torch.Tensor:
    torch.set_num_threads(threads)
    return function(x)


print("torch", torch.__version__, torch.backends.cpu.get_cpu_capability())
torch.manual_seed(0)
image, long, seen = torch.randn(2, 6, 64, 64), torch.randn(4_000_003), {"crop": 0, "layout": 0, "threads": 0}
for name, function in FUNCTIONS.items():
    whole = on(1, function, image)
    found = {
        "crop": differing(function(image[..., 3:60]), whole[..., 3:60]),
        "layout": differing(function(image.contiguous(memory_format=torch.channels_last)), whole),
        "threads": differing(on(1, function, long), on(3, function, long)),
    }
    seen = {how: seen[how] + count for how, count in found.items()}
    print(
        f"{name:9} of {whole[..., 3:60].numel()} numbers {found['crop']} differ in a crop; of {image.numel()}"
        f" {found['layout']} in channels-last; of {len(long)} {found['threads']} with 3 threads instead of 1"
    )
sys.exit(0 if all(seen.values()) else 1)
PYTHON
"$folder/venv/bin/python" "$folder/see.py"
