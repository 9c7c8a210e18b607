"""Measurements of speed and learning, for `experiments.benchmark`; `reference` runs other people's code beside ours."""
