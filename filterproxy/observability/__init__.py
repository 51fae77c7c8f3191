"""What an operator can see: the log, line by line, and the metrics."""
