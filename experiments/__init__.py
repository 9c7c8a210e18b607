"""Commands that train, evaluate and draw; they begin by refusing a machine on which they cannot work."""

import importlib.util
import platform
import sys

PLATFORMS = ("linux", "darwin")


def _refusal() -> str:
    """Why nothing works here, or nothing."""
    if sys.platform not in PLATFORMS:
        return f"this runs on Linux and macOS, not on {platform.system()}: on Windows use WSL 2"
    if sys.platform == "darwin" and platform.machine() == "x86_64" and not importlib.util.find_spec("jaxlib"):
        return "jax has no builds for Macs with an Intel processor: use a Mac with Apple silicon and its own Python"
    return ""


if _refusal():  # before anything is imported that there is not
    print(f"error: {_refusal()}", file=sys.stderr)
    raise SystemExit(2)
