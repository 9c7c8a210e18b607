"""What `python -m experiments.compare` is made of: scores and their intervals, the picture, marl-eval's json."""
