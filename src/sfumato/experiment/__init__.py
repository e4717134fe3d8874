"""One experiment: what is trained on which data, the run that keeps it, and what is drawn from its model."""
