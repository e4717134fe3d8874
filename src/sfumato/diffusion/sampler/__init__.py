"""Samplers: generators that walk a state down a grid of times."""
