"""State that outlives a process: the history of messages and small values of checks."""
