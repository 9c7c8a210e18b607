"""Reads finished runs: curves, scores, evaluation, playback, recording, inspection."""
