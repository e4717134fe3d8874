"""What verbs are told in the same words: sources, guidance, numbers of steps, counts of classes."""
