"""What `python -m experiments.sweep` is made of: its plan, its lanes, their training, its tables, its jobs."""
