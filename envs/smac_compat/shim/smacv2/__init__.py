"""Stands in for the package `smacv2` when its parent folder is on PYTHONPATH."""
