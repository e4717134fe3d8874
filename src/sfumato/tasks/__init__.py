"""Floor 3: the two jobs, segment and synthesise."""
