"""The training loop and what it keeps. Knows nothing about diffusion."""
