"""The worlds iacjax trains in. Pure JAX; start at `envs.base` (the contract) and `envs.registry` (the names)."""
