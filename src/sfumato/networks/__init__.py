"""The networks, ours and adapted ones, behind one call."""
