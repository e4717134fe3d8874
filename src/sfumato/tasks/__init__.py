"""The two jobs, segment and synthesise."""
