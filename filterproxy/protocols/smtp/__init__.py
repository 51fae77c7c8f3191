"""SMTP without I/O: lines and dots, commands, parameters, XFORWARD, replies, and both sides' state tables."""
