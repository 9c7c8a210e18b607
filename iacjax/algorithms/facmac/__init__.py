"""FACMAC."""
