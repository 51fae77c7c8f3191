"""The YAML rule language: schema, loader, matchers, prefilter, composites."""
