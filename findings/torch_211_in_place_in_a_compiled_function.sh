#!/usr/bin/env bash
# torch 2.11.0: torch.compile of an autograd.Function whose forward ends in an in-place activation: the gradient is zero.
#
# Expected: the gradient of the same call without torch.compile, or an error. Seen: outputs are right, and the gradient of
# every input of the function is exactly zero, with the backends "eager", "aot_eager" and "inductor" alike, and without a
# word. A forward that ends in `silu(z, inplace=True)` of a tensor that it has made itself does it; with inplace=False the
# gradient is right. torch 2.12.0 and 2.13.0 give the right gradient for both.
#
# It matters to networks with normalisation and activation fused into one function to save memory, as is usual in U-Nets
# of diffusion models: compiled training runs, its loss is finite, and all that lies below the last such function learns
# nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.11.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch.nn import functional


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, in_place):
        ctx.save_for_backward(x)
        return functional.silu(2 * x, inplace=in_place)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 2 * torch.ops.aten.silu_backward(gradient, 2 * x), None


def gradient(in_place, compiled):
    torch._dynamo.reset()
    call = lambda x: Doubled.apply(x, in_place).square().sum()
    x = torch.ones(3, requires_grad=True)
    (torch.compile(call, fullgraph=True, backend="eager") if compiled else call)(x).backward()
    return x.grad.tolist()


print("torch", torch.__version__)
found = {(in_place, compiled): gradient(in_place, compiled) for in_place in (False, True) for compiled in (False, True)}
for (in_place, compiled), numbers in found.items():
    print(f"in place: {in_place}, compiled: {compiled}: gradient {numbers}")
right = found[False, False]
silent = found[False, True] == found[True, False] == right and found[True, True] == [0.0] * 3
sys.exit(0 if silent and right[0] > 1 else 1)
PYTHON
