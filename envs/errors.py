"""Errors that end a command with one line. No jax here, so that a wrong command line is reported at once."""

import os


class ConfigError(ValueError):
    """The user's input is wrong. The message is one line that says what to do; commands print it and exit with 2."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in a notebook: the message, without a traceback."""
        return [f"error: {self}"]


def in_one_line(error: BaseException) -> str:
    """`Type: text (file:line)` of an exception: the first line of its text, and where it was raised.

    Frames in installed packages are skipped: they say where jax noticed the error, not which code caused it.
    """
    places, trace = [], error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    own = [place for place in places if "site-packages" not in place[0]] or places
    where = f" ({os.path.basename(own[-1][0])}:{own[-1][1]})" if own else ""
    try:
        text = (str(error).strip().splitlines() or [""])[0]
    except Exception:  # the exception's __str__ may fail
        text = ""
    return f"{type(error).__name__}: {text or 'no text'}{where}"
