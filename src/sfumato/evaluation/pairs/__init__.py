"""Images with masks, made by a model for training segmenters: where masks come from, and which pairs are kept."""
