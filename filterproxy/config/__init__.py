"""The configuration: models, loader (file, line, key, nearest valid key), origins and JSON Schema."""
