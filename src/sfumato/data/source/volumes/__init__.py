"""Volumes: cases of their planes, channels on one grid, labels that name themselves, nnU-Net."""
