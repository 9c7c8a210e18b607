"""COMA."""
