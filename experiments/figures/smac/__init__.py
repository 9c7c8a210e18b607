"""Figures of the StarCraft maps that neither paper has."""
