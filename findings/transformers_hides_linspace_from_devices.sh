#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0: after `from_pretrained`, torch.linspace may ignore `with torch.device(...)`.
#
# Expected: loading a model leaves torch as it was. Seen: `from_pretrained` builds the model on the device "meta", and
# meanwhile puts a torch.linspace of its own in place (for models that need its numbers while they are built), which it
# takes away again. torch looks up the functions that follow `with torch.device(...)` once in a process, at the first
# such block, by what stands in the module then. Where the block of transformers is the first, the real torch.linspace
# is not among them, and never follows a device again in this process; torch.arange, zeros, ... do. Where any such block
# came before, all is well, so it depends on the order in which a program does two unrelated things.
#
# It matters to diffusion models: frequencies of sinusoidal embeddings are made by linspace. Networks that are then built
# on "meta" (to count parameters and operations, or to load weights without memory) or on "cuda" have these on the CPU,
# and fail at the first call. One `with torch.device("cpu"): torch.empty(0)` before the first model is loaded helps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0
cd "$folder"
cat > order.py <<'PYTHON'
import sys

import torch
import transformers

config = transformers.Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28)
transformers.Dinov2Model(config).save_pretrained("model")
if sys.argv[1] == "a block before":
    with torch.device("cpu"):
        torch.empty(0)
transformers.Dinov2Model.from_pretrained("model")
with torch.device("meta"):
    print(torch.linspace(0, 1, 3).device.type, torch.arange(3).device.type)
PYTHON
export TRANSFORMERS_VERBOSITY=error HF_HUB_DISABLE_PROGRESS_BARS=1
first=$("$folder/venv/bin/python" order.py "no block before" 2>/dev/null | tail -1)
later=$("$folder/venv/bin/python" order.py "a block before" 2>/dev/null | tail -1)
echo "linspace and arange in torch.device(\"meta\"), after from_pretrained as the first block: $first; as a later one: $later"
[[ "$first" == "cpu meta" && "$later" == "meta meta" ]]
