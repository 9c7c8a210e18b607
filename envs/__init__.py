"""The environments, in pure JAX. Start with `envs.base` (the contract) and `envs.registry` (the names)."""
