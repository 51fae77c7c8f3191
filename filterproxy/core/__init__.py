"""Types of the pipeline, without I/O: what a session, a transaction, a symbol and a result are."""
