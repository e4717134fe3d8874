"""Find the cases in whatever a person has.

    find.py      what a source is, and which room reads it
    listing.py   one entry for each file, scans.py for each volume; words.py, patterns.py, picture.py: what a path says
    table.py     rows and columns of a table, whoever wrote it
    people/      who and what folders and names speak of: patients, classes, splits
    matching/    which files are images and which masks, which belong together, what several masks of an image are
    volumes/     cases of planes, channels on one grid, labels that name themselves, nnU-Net
    tables/      which table is about the images, what its columns are for, what its cells mean
    arrays/      NumPy and IDX files, archives with a `dataset.json`
    values/      what values of masks mean: classes, objects, shares of readers, outlines, codes

What was found is a `DiscoveredDataset`; what a person says beforehand are `ReadOptions`.
"""

from sfumato.data.source.discovered import DiscoveredDataset as DiscoveredDataset
from sfumato.data.source.discovered import ReadOptions as ReadOptions
from sfumato.data.source.find import find_cases as find_cases
