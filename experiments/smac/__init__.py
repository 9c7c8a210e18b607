"""The games of others: policies that play them, and the measurements of `python -m experiments.smac_probe`."""
