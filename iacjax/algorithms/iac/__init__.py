"""IAC and its ablations."""
