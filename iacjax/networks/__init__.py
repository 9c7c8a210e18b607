"""Network parts shared by the algorithm families (flax.linen)."""
