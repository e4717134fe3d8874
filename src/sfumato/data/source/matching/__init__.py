"""Which files are images and which masks, which belong together, and what several masks of an image are."""
