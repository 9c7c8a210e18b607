"""Errors that end a command with one line. Without jax, so that a wrong command line is refused at once."""


class ConfigError(ValueError):
    """Input of the user's that cannot work. Its text is one line that says what to do; commands exit with 2."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it (IPython asks): the line, without a traceback."""
        return [f"error: {self}"]
