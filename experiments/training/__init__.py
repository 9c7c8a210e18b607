"""Trains a run: compiling, memory, the training loop, signals."""
