"""Cases to a prepared data set: decoded once, in parallel, restartable, within bounded memory."""
