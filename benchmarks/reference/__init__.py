"""Runs other people's code beside ours, for `python -m experiments.benchmark` in a clone of this repository.

It is not part of the installed package: `environments` needs jaxmarl and gymnax, all else a clone of JaxMARL.
"""
