"""The algorithms' configurations: frozen dataclasses without jax, so that `--help` is quick."""
