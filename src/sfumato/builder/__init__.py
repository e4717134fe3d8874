"""From words to objects: the one place where a recipe becomes a process, a network, a sampler and a task.

Below this package, functions take the numbers that they need and never see a recipe.
"""
