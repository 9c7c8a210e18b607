"""AIIR-MIX, its ablations RMIX and AIIR, and LIIR."""
