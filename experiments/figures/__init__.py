"""The figures and tables of the papers: what to train, which numbers to keep, and how to draw them."""
