"""Errors that end a command with one line. Without jax, so that a wrong command line is refused at once."""


class ConfigError(ValueError):
    """Input of the user's that cannot work. Its text is one line that says what to do; commands exit with 2."""
