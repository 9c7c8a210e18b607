"""The figures and tables of the IAC paper."""
