"""Small environments with known optimal returns: probes, and the matrix games of the IAC paper."""
