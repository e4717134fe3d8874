#!/usr/bin/env bash
# nnunetv2 2.8.1: with nnUNet_n_proc_DA=0, which trains without worker processes, planning an experiment raises.
#
# Expected: the environment variable nnUNet_n_proc_DA is the number of processes for data augmentation, and 0 is a value
# that its trainer knows: images are then augmented in its own process. Set once, it holds for plan, preprocess and train.
# Seen: the planner hands the same number to torch.set_num_threads, which takes 1 or more: "RuntimeError:
# set_num_threads expects a positive integer". With 1 it plans. (The number of threads that it sets is otherwise of no
# effect on the plan, and is put back.)
#
# It matters to whoever runs nnU-Net where processes cannot be started, in a notebook or a container, or counts the time
# that its loading takes: plan with 1, then train with 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 --extra-index-url https://download.pytorch.org/whl/cpu
# without what they ask for but do not need here, such as torchvision
"$folder/venv/bin/pip" install --quiet --no-deps nnunetv2==2.8.1 dynamic-network-architectures==0.4.4 acvl-utils==0.2.6 \
    batchgenerators==0.25.5 batchgeneratorsv2==0.3.6
"$folder/venv/bin/pip" install --quiet pandas==3.1.1 blosc2==4.14.1 connected-components-3d==4.1.1 einops==0.8.2 \
    fft-conv-pytorch==1.2.0 nibabel SimpleITK scikit-image scipy scikit-learn tifffile tqdm requests yacs graphviz seaborn \
    matplotlib imagecodecs future unittest2
cd "$folder"
cat > plan.py <<'PYTHON'
import os

for name in ("raw", "preprocessed", "results"):
    os.environ[f"nnUNet_{name}"] = name
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

network = {
    "n_stages": 2, "features_per_stage": [4, 8], "conv_op": "torch.nn.modules.conv.Conv2d", "kernel_sizes": [[3, 3]] * 2,
    "strides": [[1, 1], [2, 2]], "n_conv_per_stage": [1, 1], "n_conv_per_stage_decoder": [1],
    "conv_bias": True, "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d", "norm_op_kwargs": {},
    "dropout_op": None, "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {},
}
try:
    size = ExperimentPlanner.static_estimate_VRAM_usage(
        (16, 16), 1, 2, "dynamic_network_architectures.architectures.unet.PlainConvUNet", network,
        ("conv_op", "norm_op", "dropout_op", "nonlin"),
    )
    print(f"a network of {int(size)} numbers fits the plan")
except RuntimeError as error:
    print(error)
PYTHON
none=$(nnUNet_n_proc_DA=0 "$folder/venv/bin/python" plan.py)
one=$(nnUNet_n_proc_DA=1 "$folder/venv/bin/python" plan.py)
trainer=$("$folder/venv/bin/python" -c "import nnunetv2.training.nnUNetTrainer.nnUNetTrainer as t; print(t.__file__)" | tail -1)
knows=$(grep -c "allowed_num_processes == 0" "$trainer")
printf '%s\n' "nnUNet_n_proc_DA=0: $none" "nnUNet_n_proc_DA=1: $one" "the trainer asks for 0 in $knows place(s)"
[[ "$none" == *"set_num_threads expects a positive integer"* && "$one" == *"fits the plan"* && "$knows" -ge 1 ]]
