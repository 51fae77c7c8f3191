"""Coverage-guided fuzzing of everything that reads octets from outside (atheris, libFuzzer)."""
