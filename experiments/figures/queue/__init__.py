"""The queue of evidence: all runs that the figures and tables need, trained by several processes."""
