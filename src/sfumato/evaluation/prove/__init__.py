"""Does synthetic data help? Models trained with and without it are compared on real images.

job.py         what is trained where data have classes and masks
origin.py      where SAMPLES come from, and whether their maker knew the test images
mixture.py     REAL and SAMPLES in one dataset, in the form of REAL
arms.py        what each arm trains on
train.py       one model: an arm and a seed
constant.py    what answers that never change reach
statistics.py  the arms compared: intervals of scores and of their differences
verdict.py     what that means, in words
proof.py       all together, as tables and as plain data
confusions.py  the same reading of classifiers that others trained
"""
