"""Errors that end a command with one line. Without jax, so that a wrong command line is refused at once."""

import os


class ConfigError(ValueError):
    """Input of the user's that cannot work. Its text is one line that says what to do; commands exit with 2."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it (IPython asks): the line, without a traceback."""
        return [f"error: {self}"]


def in_one_line(error: BaseException) -> str:
    """`Type: text (file:line)` of an exception of somebody's code: its first line, and where it was raised.

    Frames in installed packages are left out: they say where jax noticed it.
    """
    places, trace = [], error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    own = [place for place in places if "site-packages" not in place[0]] or places
    where = f" ({os.path.basename(own[-1][0])}:{own[-1][1]})" if own else ""
    try:
        text = (str(error).strip().splitlines() or [""])[0]
    except Exception:  # its own __str__ fails
        text = ""
    return f"{type(error).__name__}: {text or 'no text'}{where}"
