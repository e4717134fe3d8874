"""Training as the verbs do it: a run folder, what it starts from, one process's session, a study of many runs."""
