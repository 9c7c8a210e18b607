"""What several test files use: small algorithms and batches, fake games, oracles, runs in other processes."""
