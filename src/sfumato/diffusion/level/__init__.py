"""Noise levels: schedules, the grids of times on which samplers walk, the laws of training times."""
