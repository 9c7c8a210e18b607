"""MAAC."""
