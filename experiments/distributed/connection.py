"""Connects several processes, on one machine or many, into one program: `jax.distributed.initialize`.

jax's coordination service runs in process 0, and jax detects clusters (Slurm, Kubernetes, Open MPI, TPU). Added here:
a wait that fails or is interrupted ends without a stack trace, and a process that fails does not wait for the others.
"""

import atexit
import contextlib
import functools
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from envs.errors import ConfigError

WAIT_SECONDS = 300  # for all processes to connect
DETECTED = {"slurm": "slurm", "auto": None}  # words of --coordinator -> jax's cluster_detection_method
LOST = (
    "another process has ended, or the network between them: start the same command on all of them again, which resumes"
)
LOST += " from the last checkpoint of process 0"
LOST_SIGNS = ("Gloo", "NCCL", "oordination", "onnection", "eartbeat", "UNAVAILABLE", "DEADLINE_EXCEEDED")


def read_address(address: str) -> tuple[str, int]:
    """HOST:PORT.

    Raises:
      ConfigError: it is not of that form.
    """
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(f"--coordinator {address}: write HOST:PORT of process 0, e.g. 10.0.0.1:45671")
    return host.strip("[]"), int(port)


@contextlib.contextmanager
def connected(coordinator: str, num_processes: int, process_id: int) -> Iterator[None]:
    """Inside, jax sees the devices of all processes. Enter it in the main thread, before jax uses a device.

    Args:
      coordinator: HOST:PORT of process 0, or a key of DETECTED: jax then detects the address and both numbers.

    Raises:
      ConfigError: the processes cannot connect, or one of them has ended.
    """
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # SIGTERM stops the training, with a checkpoint
    _initialize(coordinator, num_processes, process_id)
    try:
        yield
        jax.distributed.shutdown()  # waits for the others
    except BaseException as error:
        lost = isinstance(error, RuntimeError | ValueError) and any(sign in str(error) for sign in LOST_SIGNS)
        lost = lost and not isinstance(error, ConfigError)
        code = 2 if lost or isinstance(error, ConfigError | OSError) else 1
        atexit.register(_leave, 130 if isinstance(error, KeyboardInterrupt) else code)
        if lost:
            raise ConfigError(LOST) from error
        raise


def _initialize(coordinator: str, num_processes: int, process_id: int) -> None:
    import jax

    # An empty list of local devices: a process has all of its machine, also where jax would take one per Slurm task.
    options: dict[str, Any] = {"local_device_ids": [], "initialization_timeout": WAIT_SECONDS + 10}
    if coordinator in DETECTED:
        options |= {"cluster_detection_method": DETECTED[coordinator]}
    else:
        _check_address(coordinator, listens=process_id == 0)
        options |= {"coordinator_address": coordinator, "num_processes": num_processes, "process_id": process_id}
        options |= {"cluster_detection_method": "deactivate"}
    try:
        with _time_limit(coordinator):
            jax.distributed.initialize(**options)
    except (ValueError, KeyError, ImportError) as error:  # ValueError: jax has detected no cluster
        what = "a Slurm step" if coordinator == "slurm" else "a cluster (Slurm, Kubernetes, Open MPI, TPU)"
        advice = "start it by srun, one process a machine: srun -N 4 --ntasks-per-node=1 python ..."
        text = f"--coordinator {coordinator}: jax does not find {what} here ({error})"
        raise ConfigError(f"{text}: {advice}, or give HOST:PORT, --num-processes and --process-id") from None
    set_gloo_address()


def _check_address(coordinator: str, listens: bool) -> None:
    """Raises ConfigError where the host has no address or, if this process `listens` there, its port is taken; jax's
    service would crash, or wait to the end of the time limit."""
    host, port = read_address(coordinator)
    dual = socket.has_dualstack_ipv6()
    try:
        socket.getaddrinfo(host, port)
        if listens:
            family = socket.AF_INET6 if dual else socket.AF_INET
            socket.create_server(("", port), family=family, dualstack_ipv6=dual).close()
    except (OSError, UnicodeError) as error:  # the latter: "a..b" cannot be a name
        why = getattr(error, "strerror", None) or "not the name of a machine"
        why = why.split(" (while")[0]
        raise ConfigError(f"--coordinator {coordinator}: {why}: choose another") from None


@contextlib.contextmanager
def _time_limit(coordinator: str) -> Iterator[None]:
    """Ends this process with one line where the wait in it is too long (jax aborts the process with a stack trace), or
    at once by Ctrl-C or SIGTERM (jax's wait would keep Python from handling them)."""

    def end() -> None:
        text = f"--coordinator {coordinator}: not all processes, process 0 among them, connected in {WAIT_SECONDS} s"
        each = "" if coordinator in DETECTED else ", with its own --process-id"
        print(f"error: {text}: start the same command on each{each}", file=sys.stderr, flush=True)
        os._exit(2)

    timer = threading.Timer(WAIT_SECONDS, end)
    timer.daemon = True
    handlers = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def set_gloo_address() -> None:
    """Has this process exchange arrays in the network in which it reaches the coordinator, on CPUs (Gloo).

    By itself Gloo gives the others the address that the host name of this machine has here: often 127.0.1.1, where they
    cannot reach it, or one of another network. jax 0.10 has no option for it; a later one may lack these private names.
    """
    with contextlib.suppress(ImportError, AttributeError, OSError):
        from jax._src.distributed import global_state
        from jax._src.lib import _jax

        host, port = read_address(global_state.coordinator_address)
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as route:
            route.connect(address)  # sends nothing: chooses the network
            own = route.getsockname()[0]
        _jax.make_gloo_tcp_collectives = functools.partial(_jax.make_gloo_tcp_collectives, hostname=own)


def _leave(code: int) -> None:
    """Ends this process before jax waits for the others; process 0, whose end ends them, gives them time to report."""
    import jax

    sys.stdout.flush()
    sys.stderr.flush()
    if jax.process_index() == 0:
        time.sleep(3)
    os._exit(code)
