"""TensorBoard as a part of this process, reachable from this machine alone."""

import pathlib
import socket

from envs.errors import ConfigError

ADDRESS = "127.0.0.1"
RELOAD_SECONDS = 5
SAMPLES = "scalars=10000,images=20"  # kept of each curve and video, at most


def check_tensorboard() -> None:
    """Raises ConfigError where TensorBoard or the package that writes its files is not installed."""
    try:
        import tensorboard.program  # noqa: F401
        import tensorboardX  # noqa: F401
    except ImportError:
        raise ConfigError('this needs TensorBoard: pip install "iacjax[tensorboard]"') from None


def check_port(port: int) -> None:
    """Raises ConfigError where `port` cannot be served: before anything is read."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise ConfigError(f"--port {port} cannot be used ({error.strerror}): choose another one") from None


def serve(place: pathlib.Path, port: int | None) -> str:
    """Serves the event files below `place` until this process ends. Returns the URL.

    Args:
      port: None: the first free one from TensorBoard's 6006 on.

    Raises:
      ConfigError: as `check_port`, or no port is free.
    """
    from tensorboard.program import TensorBoard, TensorBoardServerException

    server = TensorBoard()
    options = {"logdir": str(place), "host": ADDRESS, "reload_interval": str(RELOAD_SECONDS)}
    options |= {"samples_per_plugin": SAMPLES, "load_fast": "false"}  # the fast one is a process, which may outlive us
    options |= {} if port is None else {"port": str(port)}
    server.configure(["", *(f"--{name}={value}" for name, value in options.items())])
    try:
        return server.launch()
    except TensorBoardServerException as error:
        raise ConfigError(f"{error.msg}: choose another --port") from None
