"""One game, in this process or in one of its own, asked by messages: `reset`, `step`, `save_replay`.

A process of its own leads its process group, so that Ctrl-C at the terminal reaches the asking process alone, and so
that a game that hangs can be killed together with the StarCraft that it has started: by the asking process, or by the
group's guard where the asking process is gone (`guard`).
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol

from envs.errors import ConfigError, in_one_line
from envs.smac_backend.backend import Backend
from envs.smac_backend.guard import start_guard
from envs.smac_backend.moment import Lost, Moment, read_moment

OK, LOST, REFUSED = "ok", "lost", "refused"


class _Terminated(BaseException):
    """SIGTERM in a game's process; no Exception, so that a game does not catch it."""


class Host:
    """Owns one game: builds it, asks it, and says of each failure whether it is the user's or the game's."""

    def __init__(self, backend: Backend, map_name: str, options: dict[str, Any]):
        self.backend, self.map_name, self.options = backend, map_name, options
        self.game = None

    def handle(self, command: str, *arguments: Any) -> tuple[str, Any]:
        """(OK, value), (LOST, why) or (REFUSED, advice)."""
        try:
            return OK, getattr(self, command)(*arguments)
        except ConfigError as error:
            return REFUSED, str(error)
        except Lost as error:
            return LOST, str(error)
        except (KeyboardInterrupt, _Terminated):  # not the game's
            raise
        except BaseException as error:  # a game that calls sys.exit has ended its episode, not the command
            return self._explained(error)

    def _explained(self, error: BaseException) -> tuple[str, str]:
        try:
            advice = self.backend.explain(error)
        except Exception:
            advice = ""
        return (REFUSED, advice) if advice else (LOST, in_one_line(error))

    def reset(self) -> tuple[Moment, dict[str, Any]]:
        """Opens an episode, launching the game where there is none; (what it shows, what it knows of its map)."""
        if self.game is None:
            self.game = self.backend.make_game(self.map_name, **self.options)
        restarts = self._restarts()
        self.game.reset()
        self._same_game(restarts)
        return self._moment(), dict(self.backend.facts(self.game))

    def step(self, actions: list[int]) -> Moment:
        """One step of all agents."""
        restarts = self._restarts()
        reward, terminated, info = self.game.step(actions)
        if terminated and not info:
            raise Lost("StarCraft II broke the connection")
        self._same_game(restarts)
        return self._moment(reward, terminated, info)

    def save_replay(self) -> None:
        """Has the game write its replay."""
        if self.game is not None:
            self.game.save_replay()

    def close(self) -> None:
        """Closes the game, if there is one. What it says then no longer matters: its process is killed anyway."""
        game, self.game = self.game, None
        if game is not None:
            with contextlib.suppress(Exception):
                game.close()

    def _restarts(self) -> int:
        return getattr(self.game, "force_restarts", 0)

    def _same_game(self, restarts: int) -> None:
        """A relaunch inside `reset` leaves SMAC with units of the game before."""
        if self._restarts() != restarts:
            raise Lost("StarCraft II was restarted in the middle of an episode")

    def _moment(self, *outcome: Any) -> Moment:
        game = self.game
        return read_moment(
            game.get_obs(), game.get_state(), game.get_avail_actions(), self.backend.alive(game), *outcome
        )


class GameClient(Protocol):
    """Where a game lives: ask, then take the answer."""

    def send(self, command: str, *arguments: Any) -> None:
        """Sends a command of `Host`."""

    def receive(self, seconds: float) -> Any:
        """The value, at most `seconds` after the question. Raises Lost or ConfigError."""

    def request_close(self) -> None:
        """Asks it to end, without waiting."""

    def close(self, seconds: float) -> None:
        """Ends the game; by force after `seconds`."""


def _value(kind: str, value: Any) -> Any:
    if kind == OK:
        return value
    raise Lost(value) if kind == LOST else ConfigError(value)


class LocalClient:
    """A `GameClient` without a process: for simulators in plain Python. It cannot be timed."""

    def __init__(self, backend: Backend, map_name: str, options: dict[str, Any]):
        self._host = Host(backend, map_name, options)

    def send(self, command: str, *arguments: Any) -> None:
        self._answer = self._host.handle(command, *arguments)

    def receive(self, seconds: float) -> Any:
        return _value(*self._answer)

    def request_close(self) -> None:
        """Nothing can be asked of it while it is not asked: `close` does it all."""

    def close(self, seconds: float) -> None:
        self._host.close()


def _serve(connection: Any, work: bytes) -> None:
    """Answers until told to close, until the asking process is gone, or until SIGTERM; then closes the game.

    `work`: the pickled arguments of `Host`. Read here, so that what fails in it is answered and not printed.
    """
    os.setsid()
    start_guard()
    host = None

    def terminate(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would break off the closing
        raise _Terminated

    try:
        signal.signal(signal.SIGTERM, terminate)
        host = _load(work)
        while (message := connection.recv()) is not None:
            connection.send_bytes(_packed(host.handle(*message) if isinstance(host, Host) else host))
    except (EOFError, OSError, _Terminated):
        pass  # nobody asks any more
    finally:
        if isinstance(host, Host):
            host.close()


def _load(work: bytes) -> "Host | tuple[str, str]":
    """The host, or what to answer where there can be none."""
    try:
        return Host(*pickle.loads(work))
    except (KeyboardInterrupt, _Terminated):
        raise
    except BaseException as error:
        return LOST, f"its process cannot load the game: {in_one_line(error)}"


def _packed(answer: tuple[str, Any]) -> bytes:
    """An answer as bytes; an answer that says why, where what the game gave cannot be sent."""
    try:
        return bytes(ForkingPickler.dumps(answer))
    except Exception as error:
        return bytes(ForkingPickler.dumps((LOST, f"what the game gave cannot be sent: {in_one_line(error)}")))


@contextlib.contextmanager
def _without_interruption() -> Iterator[None]:
    """Processes started here ignore Ctrl-C from their first moment, before they lead a group of their own."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may choose
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class ProcessClient:
    """A `GameClient` in a fresh process."""

    def __init__(self, backend: Backend, map_name: str, options: dict[str, Any]):
        context = multiprocessing.get_context("spawn")
        try:
            work = bytes(ForkingPickler.dumps((backend, map_name, options)))
        except Exception as error:
            advice = "name a class or a function of a module, or play with --games 0"
            raise ConfigError(f"{backend.name} cannot be sent to a process ({in_one_line(error)}): {advice}") from None
        self._pipe, theirs = context.Pipe()
        self._asked = 0.0
        self._process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        with _without_interruption():
            self._process.start()
        theirs.close()

    def send(self, command: str, *arguments: Any) -> None:
        self._asked = time.monotonic()
        try:
            self._pipe.send((command, *arguments))
        except OSError:
            pass  # it has died, which `answer` will say

    def receive(self, seconds: float) -> Any:
        try:
            if not self._pipe.poll(max(0.0, self._asked + seconds - time.monotonic())):
                raise Lost(f"no answer for {seconds:g} s")
            kind, value = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(1.0)
            raise Lost(f"its process died (exit code {self._process.exitcode})") from None
        except Lost:
            raise
        except Exception as error:  # a class that is not here, or a game that has written into the pipe
            raise Lost(f"what the game gave cannot be read: {in_one_line(error)}") from None
        return _value(kind, value)

    def request_close(self) -> None:
        try:
            self._pipe.send(None)
        except OSError:
            pass  # it has died already

    def close(self, seconds: float) -> None:
        """Asks it to close, waits, and kills what is left of its process group."""
        self.request_close()
        try:
            self._process.join(seconds / 2)
            if self._process.exitcode is None:
                self._process.terminate()
                self._process.join(seconds / 2)
        finally:
            self._kill()

    def _kill(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()  # it had not yet become the leader of a group, or nothing is left
        self._process.join()
        self._pipe.close()
