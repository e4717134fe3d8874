"""Who and what folders and names speak of: patients, classes, splits."""
