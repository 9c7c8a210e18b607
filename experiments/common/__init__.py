"""Shared by all of experiments: files, text, statistics, command-line helpers."""
