"""The figures and tables of the AIIR-MIX paper."""
