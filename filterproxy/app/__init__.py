"""The composition root and the processes: configuration to services, checks, pipeline and listeners, in workers."""
