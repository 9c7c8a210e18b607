"""Losses and targets: arrays in, unreduced values out; `iacjax.types.masked_mean` reduces."""
