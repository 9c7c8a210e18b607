"""The configuration of a run: schema, presets, command line, validation. No jax in this package."""
