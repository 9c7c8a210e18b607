"""The commands: run, evaluate, record, plot, reproduce, benchmark (`python -m experiments.run --help`)."""
