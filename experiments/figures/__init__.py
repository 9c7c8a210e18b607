"""The figures and tables of IAC's paper, made anew: what to train, what is kept of it, how it is drawn."""
