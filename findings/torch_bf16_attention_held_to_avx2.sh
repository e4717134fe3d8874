#!/usr/bin/env bash
# torch 2.13.0 on a processor with AMX: bfloat16 attention raises where ATEN_CPU_CAPABILITY holds torch to AVX2.
#
# Expected: ATEN_CPU_CAPABILITY=avx2 (or default) makes torch use its kernels for such a processor, as its documentation
# says, for reproducible numbers across machines; all operations stay. Seen: scaled_dot_product_attention of bfloat16 with
# 64 tokens ends in "RuntimeError: pack_vnni2 is only supported when avx512 is supported": that the keys are packed is
# decided by what oneDNN finds in the processor, and the packing was compiled for what ATEN_CPU_CAPABILITY allows. With 16
# tokens, with the backend MATH, or with ONEDNN_MAX_CPU_ISA=AVX2 beside it nothing is raised.
#
# It matters to whoever holds machines of a cluster to one instruction set: the same training runs on the older machines
# and ends on the newer ones. On a processor without AMX this script says so and shows nothing.
set -euo pipefail
if ! grep -q amx_bf16 /proc/cpuinfo; then
    echo "this processor has no AMX: nothing to see here"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 --extra-index-url https://download.pytorch.org/whl/cpu
cd "$folder"
cat > attend.py <<'PYTHON'
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention


def answer(tokens, backends):
    q = torch.ones(1, 2, tokens, 16, dtype=torch.bfloat16)
    try:
        with sdpa_kernel(backends):
            return str(tuple(scaled_dot_product_attention(q, q, q).shape))
    except RuntimeError as error:
        return str(error)


every = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
print(" | ".join([answer(16, every), answer(64, every), answer(64, [SDPBackend.MATH])]))
PYTHON
held=$(ATEN_CPU_CAPABILITY=avx2 "$folder/venv/bin/python" attend.py)
both=$(ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 "$folder/venv/bin/python" attend.py)
free=$("$folder/venv/bin/python" attend.py)
printf '%s\n' "ATEN_CPU_CAPABILITY=avx2: $held" "and ONEDNN_MAX_CPU_ISA=AVX2: $both" "neither: $free"
[[ "$held" == "(1, 2, 16, 16) | pack_vnni2 is only supported when avx512 is supported | (1, 2, 64, 16)" ]]
[[ "$both" == "(1, 2, 16, 16) | (1, 2, 64, 16) | (1, 2, 64, 16)" && "$free" == "$both" ]]
