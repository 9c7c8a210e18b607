"""Runs other people's code beside ours, for `python -m experiments.benchmark` in a clone of this repository.

It is not part of the installed package: `environments` needs jaxmarl and gymnax, `scripts` and `learning` a clone of
JaxMARL.
"""
