"""What `python -m experiments.sweep` is made of: its plan, its trials, their training, its tables, its jobs."""
