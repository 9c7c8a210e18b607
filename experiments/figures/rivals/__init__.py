"""Both papers' methods beside today's strongest rivals, in environments that the papers did not have."""
