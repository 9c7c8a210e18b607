"""Sweeps: their plan, trials, training, results and Slurm jobs."""
