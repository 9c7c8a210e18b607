"""Measurements of speed and learning, ours and of reference implementations (`benchmarks_reference`)."""
