r"""nnU-Net v2 on the split, the CPU minutes and the scores of `benchmarks/native.py`.

    python benchmarks/nnunet.py SOURCE --minutes 2 --seeds 3      # SOURCE: images or volumes with masks, of any sizes

nnU-Net is no dependency of sfumato. What is needed beside `pip install "sfumato[dev]"`, without torchvision, which its
usual network does not need:

    pip install --no-deps nnunetv2==2.8.1 acvl-utils==0.2.6 dynamic-network-architectures==0.4.4 \
        batchgenerators==0.25.5 batchgeneratorsv2==0.3.6 blosc2==4.14.1 ndindex==1.10.1 msgpack==1.2.4 \
        numexpr==2.14.2 connected-components-3d==4.1.1 pandas==3.1.1 seaborn==0.13.2

The training cases of the prepared data set (`--size native`) are written in nnU-Net's raw form, with their voxel
spacing, and nnU-Net plans and preprocesses them itself: `3d_fullres` for volumes, `2d` for images. Its network with
deep supervision, its loss, its augmentation and its optimiser (SGD with Nesterov's momentum of 0.99 from a rate of
0.01) are as planned, on all training cases (fold "all"), float32. It differs from its defaults in these points:

    length     until the CPU minutes are used, instead of 1000 epochs of 250 steps; the polynomial rate falls over the
               share of them that is used
    batch      at most --batch patches (2 is also the least that nnU-Net plans)
    loading    in the same process and thread: its CPU time counts, as do augmentation and the step itself
    choice     the weights at the end, of one network: no validation, no folds, no choice of a configuration
    mirroring  not in prediction, as with the arms of `native.py`; --mirror adds a row with it, which is its default
    intensity  images as prepared (windowed, 0 is black); nnU-Net then normalises each as it does

A momentum of 0.99 remembers a hundred steps, and a CPU may not make as many in these minutes: --momentum sets another.

Preparing, planning and preprocessing do not count, nor do predicting and scoring. Predicted are the test cases by its
sliding windows (half overlapping, Gaussian weights), and its masks are brought back to each case's own size. What
nnU-Net says of its work goes to standard error.
"""

import argparse
import contextlib
import copy
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import SimpleITK
import torch

from native import Predict, Scores, means, scored
from sfumato import Preparation, Reading, prepare
from sfumato.data.dataset import Dataset
from sfumato.data.mask import IGNORED
from sfumato.networks.measure import count_parameters

if TYPE_CHECKING:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

NUMBER, NAME, ENDING = 1, "Dataset001_Prepared", ".nrrd"
FAR = 999.0
"""Between the planes of what has one plane, as nnU-Net has it."""


class Plan(NamedTuple):
    """What nnU-Net made of the training cases."""

    configuration: str
    plans: dict[str, Any]
    description: dict[str, Any]

    @property
    def chosen(self) -> dict[str, Any]:
        """Of the configuration that is trained."""
        return self.plans["configurations"][self.configuration]


def surroundings(folder: Path) -> None:
    """What nnU-Net reads from the environment when it is imported, so nothing here imports it before."""
    for name in ("raw", "preprocessed", "results"):
        (folder / name).mkdir()
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    os.environ |= {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1", "nnUNet_compile": "0"}


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """What nnU-Net says goes where errors go, so that the table stays a table."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def spacing(truth: Dataset) -> tuple[float, ...]:
    """Millimetres between planes, rows and columns; 1 where nobody knows."""
    return truth.spec.voxel or (1.0,) * truth.spec.dimensions


def channels(truth: Dataset, row: int) -> np.ndarray:
    """An image (channel, *space) from 0, which is black, to 1."""
    return (truth.images([row])[0].contiguous().numpy() + 1) / 2


def write(path: Path, array: np.ndarray, steps: tuple[float, ...]) -> None:
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(steps[::-1])
    SimpleITK.WriteImage(image, path)


def write_raw(folder: Path, truth: Dataset) -> None:
    """The training cases as nnU-Net wants them: a file for each channel and one of the first reader's mask."""
    spec, rows, steps = truth.spec, truth.rows("train"), spacing(truth)
    images, labels = folder / "imagesTr", folder / "labelsTr"
    images.mkdir(parents=True)
    labels.mkdir()
    classes = len(spec.mask_classes)
    for row in rows:
        for number, channel in enumerate(channels(truth, row)):
            write(images / f"case_{row:05}_{number:04}{ENDING}", channel, steps)
        mask = truth.mask(row)
        write(labels / f"case_{row:05}{ENDING}", np.where(mask == IGNORED, classes, mask).astype(np.uint8), steps)
    names = {"background": 0, **{f"class {index}": index for index in range(1, classes)}}
    described = {
        "channel_names": {str(number): spec.modality or "image" for number in range(spec.channels)},
        "labels": {**names, "ignore": classes} if spec.ignore else names,
        "numTraining": len(rows),
        "file_ending": ENDING,
        "overwrite_image_reader_writer": "SimpleITKIO",
    }
    (folder / "dataset.json").write_text(json.dumps(described))


def planned(folder: Path, truth: Dataset, batch: int) -> Plan:
    """Planned and preprocessed by nnU-Net, in one process beside this one."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    configuration = "3d_fullres" if truth.spec.dimensions == 3 else "2d"
    write_raw(folder / "raw" / NAME, truth)
    with aside():
        api.extract_fingerprint_dataset(NUMBER, num_processes=1, verbose=False, show_progress_bar=False)
        _, name = api.plan_experiment_dataset(NUMBER)
        api.preprocess_dataset(NUMBER, name, (configuration,), (1,), show_progress_bar=False)
    made = folder / "preprocessed" / NAME
    plans = json.loads((made / f"{name}.json").read_text())
    plan = Plan(configuration, plans, json.loads((made / "dataset.json").read_text()))
    meant = plan.chosen["batch_size"]
    plan.chosen["batch_size"] = min(meant, batch)
    patch = " x ".join(map(str, plan.chosen["patch_size"]))
    print(f"{configuration}: patches of {patch}, {plan.chosen['batch_size']} a step ({meant} planned)", flush=True)
    return plan


def trainer_of(plan: Plan, budget: float, momentum: float, seed: int) -> "nnUNetTrainer":
    """Its trainer, whose epochs are CPU seconds: its rate falls by them."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    os.environ |= {"nnUNet_n_proc_DA": "0"}  # not before: planning makes it the number of threads
    np.random.seed(seed)
    torch.manual_seed(seed)
    plans = {**copy.deepcopy(plan.plans), "continue_training": False}
    with aside():
        trainer = nnUNetTrainer(plans, plan.configuration, "all", plan.description, torch.device("cpu"))
        trainer.num_epochs = budget
        trainer.initialize()
        for group in trainer.optimizer.param_groups:
            group["momentum"] = momentum
        trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()
    return trainer


def trained(trainer: "nnUNetTrainer", budget: float) -> int:
    """Trained until the CPU seconds are used: how many steps that were."""
    seconds, steps = 0.0, 0
    trainer.network.train()
    while seconds < budget:
        begun = time.process_time()
        trainer.lr_scheduler.step(seconds)
        trainer.train_step(next(trainer.dataloader_train))
        seconds, steps = seconds + time.process_time() - begun, steps + 1
    return steps


def predicted(trainer: "nnUNetTrainer", truth: Dataset, *, mirror: bool) -> Predict:
    """Its own prediction of a test case, at the case's own size."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    trainer.set_deep_supervision_enabled(False)
    network = trainer.network.eval()
    with aside():
        predictor = nnUNetPredictor(use_mirroring=mirror, device=torch.device("cpu"), allow_tqdm=False)
    predictor.manual_initialization(
        network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [network.state_dict()],
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )

    def mask_of(row: int) -> np.ndarray:
        image, steps = channels(truth, row), list(spacing(truth))
        if truth.spec.dimensions == 3:
            return predictor.predict_single_npy_array(image, {"spacing": steps})
        return predictor.predict_single_npy_array(image[:, None], {"spacing": [FAR, *steps]})[0]

    return mask_of


def mean_score(truth: Dataset, mask_of: Callable[[int], np.ndarray]) -> Scores:
    classes = len(truth.spec.mask_classes)
    return means([scored(mask_of(row), truth.mask(row), classes, truth.spec.voxel) for row in truth.rows("test")])


def results(plan: Plan, truth: Dataset, options: argparse.Namespace) -> Iterator[tuple[str, int, int, Scores]]:
    budget = 60 * options.minutes
    for seed in range(options.first, options.first + options.seeds):
        trainer = trainer_of(plan, budget, options.momentum, seed)
        steps = trained(trainer, budget)
        if seed == options.first:
            print(f"{count_parameters(trainer.network) / 1e6:.2f} M parameters", file=sys.stderr, flush=True)
        yield "nnU-Net", seed, steps, mean_score(truth, predicted(trainer, truth, mirror=False))
        if options.mirror:
            yield "nnU-Net, mirrored", seed, steps, mean_score(truth, predicted(trainer, truth, mirror=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="CPU minutes of training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--batch", type=int, default=2, help="the most patches of a step")
    parser.add_argument("--momentum", type=float, default=0.99, help="of SGD")
    parser.add_argument("--mirror", action="store_true", help="also predict mirrored images and take the mean")
    parser.add_argument("--drop-unpaired", action="store_true")
    parser.add_argument("--images", help="as of prepare")
    parser.add_argument("--masks", help="as of prepare")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = dict[str, list[Scores]]()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        surroundings(folder)
        reading = Reading(drop_unpaired=options.drop_unpaired, images=options.images, masks=options.masks)
        prepare(options.source, out=folder / "native", reading=reading, preparation=Preparation(size="native"))
        truth = Dataset.open(folder / "native")
        plan = planned(folder, truth, options.batch)
        print("| arm | seed | steps | Dice | HD95 | NSD |\n| --- | --- | --- | --- | --- | --- |", flush=True)
        for name, seed, steps, scores in results(plan, truth, options):
            table.setdefault(name, []).append(scores)
            print(f"| {name} | {seed} | {steps} | {' | '.join(f'{value:.3f}' for value in scores)} |", flush=True)
    for name, every in table.items():
        spread = statistics.stdev(each.dice for each in every) if len(every) > 1 else 0.0
        told = ", ".join(f"{key} {value:.3f}" for key, value in means(every)._asdict().items())
        print(f"{name}: {told}; standard deviation of Dice over seeds {spread:.3f}")


if __name__ == "__main__":
    main()
