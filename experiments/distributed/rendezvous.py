"""Where the processes of one program find each other, before jax is told of them.

`jax.distributed.initialize` waits deaf to Ctrl-C, and a process that waits in vain is aborted with a stack trace. So
they meet here first: process 0 listens at the coordinator's address, the others say who they are, and when all are
there everyone goes on (to the same address, where jax's own service then listens).
"""

import contextlib
import os
import re
import select
import socket
import time
from collections.abc import Iterable, Mapping

from envs.errors import ConfigError

WAIT_SECONDS = 300.0
POLL_SECONDS = 0.5


def read_address(address: str) -> tuple[str, int]:
    """HOST:PORT.

    Raises:
      ConfigError: it is not of that form.
    """
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(f"--coordinator {address}: write HOST:PORT of process 0, e.g. 10.0.0.1:45671")
    return host.strip("[]"), int(port)


def of_slurm(variables: Mapping[str, str]) -> tuple[str, int, int]:
    """(HOST:PORT, processes, index) of a task that srun has started, from its environment: process 0 is on the step's
    first node. The port, 61440 to 65535, is of the job and the step, so that two of one node seldom have the same.

    Raises:
      ConfigError: it was not started by srun.
    """
    try:
        count, index = int(variables["SLURM_STEP_NUM_TASKS"]), int(variables["SLURM_PROCID"])
        job, step = int(variables["SLURM_JOB_ID"]), int(variables["SLURM_STEP_ID"])
        host = first_host(variables["SLURM_STEP_NODELIST"])
    except (KeyError, ValueError):
        text = "--coordinator slurm: start it by srun, one process a machine: srun -N 4 --ntasks-per-node=1 python ..."
        raise ConfigError(text) from None
    return f"{host}:{61440 + (job + 509 * step) % 4096}", count, index


def first_host(nodes: str) -> str:
    """The first of Slurm's list: gpu[007-009,12],login -> gpu007; rack[1-2]n[3,4]-ib -> rack1n3-ib."""
    first = re.match(r"([^\[,]|\[[^\]]*\])+", nodes)
    if first is None:
        raise ValueError(nodes)
    return re.sub(r"\[([^,\]-]*)[^\]]*\]", r"\1", first[0])


def meet(address: str, processes: int, index: int, limit: float = WAIT_SECONDS) -> str:
    """Returns once all `processes` have called it, each with its own index: this machine's address in the network that
    they met in. (A machine may be in several, and its host name often means itself alone, 127.0.1.1.)

    Raises:
      ConfigError: they do not come within `limit` seconds, two have one index, or the address is not to be had.
    """
    until = time.monotonic() + limit
    host, port = read_address(address)
    if index:
        return _visit(host, port, processes, index, until, limit)
    return _receive(port, processes, until, limit)


def _own_address(connections: Iterable[socket.socket]) -> str:
    """This end's of the connections, of one to another machine where there is one."""
    names = [connection.getsockname()[0].removeprefix("::ffff:") for connection in connections]
    return next((name for name in names if name != "::1" and not name.startswith("127.")), names[0])


def _receive(port: int, processes: int, until: float, limit: float) -> str:
    try:
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        server = socket.create_server(("", port), family=family, dualstack_ipv6=dual)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise ConfigError(f"--coordinator: port {port} cannot be used ({why}): choose another") from None
    guests: dict[int, socket.socket] = {}
    with server:
        server.settimeout(POLL_SECONDS)
        try:
            while len(guests) < processes - 1:
                if time.monotonic() > until:
                    missing = ", ".join(str(k) for k in range(1, processes) if k not in guests)
                    text = f"process {missing} of {processes} did not come in {limit:.0f} s"
                    raise ConfigError(f"{text}: start the same command on all of them")
                _admit(server, guests, processes)
                _dismiss(guests)
            _send_off(guests, processes)
            return _own_address(guests.values())
        finally:
            for guest in guests.values():
                guest.close()


def _send_off(guests: dict[int, socket.socket], processes: int) -> None:
    """Tells all to go on, and waits a little for them to close first, so that the port is free at once."""
    for index, guest in guests.items():
        try:
            guest.sendall(b"go\n")
        except OSError:
            text = f"process {index} of {processes} has left again: start the same command on all of them"
            raise ConfigError(text) from None
    for guest in guests.values():
        with contextlib.suppress(OSError):  # it is slow, or its network: jax waits for it longer than we do
            guest.recv(1)


def _admit(server: socket.socket, guests: dict[int, socket.socket], processes: int) -> None:
    """Takes in the next process that comes, if one does soon; one that cannot be is told why."""
    try:
        guest = server.accept()[0]
    except TimeoutError:
        return
    guest.settimeout(10 * POLL_SECONDS)
    try:
        index, count = (int(word) for word in guest.recv(64).split())
    except (OSError, ValueError):  # not one of ours
        guest.close()
        return
    _dismiss(guests)
    if count == processes and 0 < index < processes and index not in guests:
        guests[index] = guest
        return
    why = f"process {index} is here already" if count == processes else f"process 0 was told of {processes} processes"
    with guest, contextlib.suppress(OSError):  # it may have left
        guest.sendall(f"{why}: give each its own --process-id, and all the same --num-processes\n".encode())


def _dismiss(guests: dict[int, socket.socket]) -> None:
    """Forgets those that have left again: who waits has nothing to say, so what can be read is an end."""
    for index in [k for k, guest in guests.items() if select.select([guest], [], [], 0)[0]]:
        guests.pop(index).close()


def _visit(host: str, port: int, processes: int, index: int, until: float, limit: float) -> str:
    late = f"no process 0 at {host}:{port} in {limit:.0f} s: start the same command there, with --process-id 0"
    while True:
        try:
            door = socket.create_connection((host, port), timeout=10 * POLL_SECONDS)
            break
        except (socket.gaierror, UnicodeError) as error:  # the latter: "a..b" can be no name
            why = getattr(error, "strerror", "no name of a machine")
            raise ConfigError(f"--coordinator {host}:{port}: {why}") from None
        except OSError:
            if time.monotonic() > until:
                raise ConfigError(late) from None
            time.sleep(POLL_SECONDS)
    with door:
        door.settimeout(POLL_SECONDS)
        own = _own_address([door])
        try:
            door.sendall(f"{index} {processes}\n".encode())
            answer = _listen(door, until + 10 * POLL_SECONDS)
        except OSError:
            answer = ""
    if answer != "go":
        raise ConfigError(answer or "process 0 has left again: start the same command on all of them")
    return own


def _listen(door: socket.socket, until: float) -> str:
    """The line that is said, or "" where none is."""
    while time.monotonic() < until:
        try:
            return door.recv(256).decode(errors="replace").strip()
        except TimeoutError:
            continue
    return ""
