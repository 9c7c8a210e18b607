"""Networks and their parts (flax.linen)."""
