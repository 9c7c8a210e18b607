"""Run directories: creating, finding, checkpointing, building, summarising."""
