"""Floor 2: the training loop and what it keeps. Knows nothing about diffusion."""
