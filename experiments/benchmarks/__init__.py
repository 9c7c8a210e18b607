"""What `python -m experiments.benchmark` measures: training, learning and updates beside the peers', and yardsticks."""
