"""What an exact sampler of planted readers draws, as a folder of masks to evaluate a model beside.

    sfumato toy TOY --readers 4 --size 48                                   # readers whose habits are known
    sfumato prepare TOY --out DATASET
    python benchmarks/planted.py DATASET EXACT                              # the test cases: 16 readings of each
    sfumato evaluate masks PREDICTIONS DATASET --out OUT --against EXACT   # paired differences, by patient

A reading is drawn as the toy's own readers are (`sfumato.data.toys.toy`): a reader at random, who includes the halo
with their own probability and has their own bias. Four readers of a case are themselves such a draw, so even this
sampler is some distance away from them: what no model can be expected to beat.
"""

import argparse
from pathlib import Path

import numpy as np

from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import write_image
from sfumato.data.toys.toy import DETAIL, class_reading, draw_lesion, probability_map, reader_habits
from sfumato.randomness import derive_seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--readers", type=int, default=4, help="as of `sfumato toy`")
    parser.add_argument("--classes", type=int, default=3, help="as of `sfumato toy`")
    parser.add_argument("--toy-seed", type=int, default=0, help="as of `sfumato toy`")
    options = parser.parse_args()
    dataset = Dataset.open(options.dataset)
    size, habits = dataset.spec.common_size[0], reader_habits(options.readers)
    for folder in ("masks", "members"):
        (options.out / folder).mkdir(parents=True)
    random = np.random.default_rng(0)
    for row in dataset.rows("test"):
        name = dataset.cases[row].id
        index = int(name)
        lesion = draw_lesion(
            np.random.default_rng(derive_seed(options.toy_seed, "toy", size, index)),
            size=size * DETAIL,
            grade=index % options.classes,
            classes=options.classes,
        )
        for number in range(options.members):
            probability, bias = habits[random.integers(len(habits))]
            halo = bool(random.random() < probability)
            mask = class_reading(lesion, bias=bias, halo=halo, mask_classes=2)
            write_image(options.out / "members" / f"{name}_{number:02d}.png", mask)
        likelier = probability_map(lesion, habits) > 0.5
        write_image(options.out / "masks" / f"{name}.png", likelier.astype(np.uint8) * 255)


if __name__ == "__main__":
    main()
