"""The figures and tables of the papers, made anew: what to train, what is kept of it, how it is drawn."""
