"""MASAC and HASAC."""
