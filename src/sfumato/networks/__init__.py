"""Floor 2: the networks, ours and adapted ones, behind one call."""
