"""MADDPG."""
