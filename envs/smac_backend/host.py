"""Runs one game, in this process or in a separate one, controlled by messages: `reset`, `step`, `save_replay`.

A separate process leads its own process group. So Ctrl-C at the terminal reaches the command only, and a game that
hangs can be killed together with the StarCraft that it has started: by the command, or, once the command is gone, by
the guard of the group (`guard`).
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
    """SIGTERM in a game's process. Not an Exception, so that a game does not catch it."""


class Host:
    """Owns one game: builds it, calls it, and tells the user's errors from the game's failures."""

    def __init__(self, backend: Backend, map_name: str, options: dict[str, Any]):
        self.backend, self.map_name, self.options = backend, map_name, options
        self.game = None

    def handle(self, command: str, *arguments: Any) -> tuple[str, Any]:
        """Runs a method of this class. Returns (OK, value), (LOST, why) or (REFUSED, advice)."""
        try:
            return OK, getattr(self, command)(*arguments)
        except ConfigError as error:
            return REFUSED, str(error)
        except Lost as error:
            return LOST, str(error)
        except (KeyboardInterrupt, _Terminated):  # not raised by the game
            raise
        except BaseException as error:  # a game that calls sys.exit ends its episode, not the command
            return self._explained(error)

    def _explained(self, error: BaseException) -> tuple[str, str]:
        try:
            advice = self.backend.explain(error)
        except Exception:
            advice = ""
        return (REFUSED, advice) if advice else (LOST, in_one_line(error))

    def reset(self) -> tuple[Moment, dict[str, Any]]:
        """Starts an episode, launching the game if necessary. Returns (moment, facts about the map)."""
        if self.game is None:
            self.game = self.backend.make_game(self.map_name, **self.options)
        restarts = self._restarts()
        self.game.reset()
        self._same_game(restarts)
        return self._moment(), dict(self.backend.facts(self.game))

    def step(self, actions: list[int]) -> Moment:
        """Advances the game by one step of all agents."""
        restarts = self._restarts()
        reward, terminated, info = self.game.step(actions)
        if terminated and not info:
            raise Lost("StarCraft II broke the connection")
        self._same_game(restarts)
        return self._moment(reward, terminated, info)

    def save_replay(self) -> None:
        """Makes the game write its replay."""
        if self.game is not None:
            self.game.save_replay()

    def close(self) -> None:
        """Closes the game, if there is one. Errors are ignored: its process is killed anyway."""
        game, self.game = self.game, None
        if game is not None:
            with contextlib.suppress(Exception):
                game.close()

    def _restarts(self) -> int:
        return getattr(self.game, "force_restarts", 0)

    def _same_game(self, restarts: int) -> None:
        """Raises Lost if the game has relaunched itself: SMAC then still has units of the previous game."""
        if self._restarts() != restarts:
            raise Lost("StarCraft II was restarted in the middle of an episode")

    def _moment(self, *outcome: Any) -> Moment:
        game = self.game
        return read_moment(
            game.get_obs(), game.get_state(), game.get_avail_actions(), self.backend.alive(game), *outcome
        )


class GameClient(Protocol):
    """The caller's end of a game: send a command, then receive the answer."""

    def send(self, command: str, *arguments: Any) -> None:
        """Sends a command of `Host`."""

    def receive(self, seconds: float) -> Any:
        """Waits for the answer, at most `seconds` from `send`. Raises Lost or ConfigError."""

    def request_close(self) -> None:
        """Tells the game to end, without waiting."""

    def close(self, seconds: float) -> None:
        """Ends the game, by force after `seconds`."""


def _value(kind: str, value: Any) -> Any:
    if kind == OK:
        return value
    raise Lost(value) if kind == LOST else ConfigError(value)


class LocalClient:
    """A `GameClient` without a process, for simulators in plain Python. It has no time limits."""

    def __init__(self, backend: Backend, map_name: str, options: dict[str, Any]):
        self._host = Host(backend, map_name, options)

    def send(self, command: str, *arguments: Any) -> None:
        self._answer = self._host.handle(command, *arguments)

    def receive(self, seconds: float) -> Any:
        return _value(*self._answer)

    def request_close(self) -> None:
        """Does nothing: the game runs only while it is called, and `close` ends it."""

    def close(self, seconds: float) -> None:
        self._host.close()


def _serve(connection: Any, work: bytes) -> None:
    """Answers commands until it receives None, the command's process is gone, or SIGTERM; then closes the game.

    `work` holds the pickled arguments of `Host`. They are unpickled here, so that a failure is sent and not printed.
    """
    os.setsid()
    start_guard()
    host = None

    def terminate(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second SIGTERM would interrupt the closing
        raise _Terminated

    try:
        signal.signal(signal.SIGTERM, terminate)
        host = _load(work)
        while (message := connection.recv()) is not None:
            connection.send_bytes(_packed(host.handle(*message) if isinstance(host, Host) else host))
    except (EOFError, OSError, _Terminated):
        pass  # the command has ended
    finally:
        if isinstance(host, Host):
            host.close()


def _load(work: bytes) -> "Host | tuple[str, str]":
    """The host, or the answer to every command if it cannot be built."""
    try:
        return Host(*pickle.loads(work))
    except (KeyboardInterrupt, _Terminated):
        raise
    except BaseException as error:
        return LOST, f"the process cannot load the game: {in_one_line(error)}"


def _packed(answer: tuple[str, Any]) -> bytes:
    """`answer` as bytes. If it cannot be pickled, a LOST answer that says why."""
    try:
        return bytes(ForkingPickler.dumps(answer))
    except Exception as error:
        return bytes(ForkingPickler.dumps((LOST, f"what the game returned cannot be sent: {in_one_line(error)}")))


@contextlib.contextmanager
def _without_interruption() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C from the start, before they lead their own process group."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set signal handlers
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class ProcessClient:
    """A `GameClient` for a game in a new process."""

    def __init__(self, backend: Backend, map_name: str, options: dict[str, Any]):
        context = multiprocessing.get_context("spawn")
        try:
            work = bytes(ForkingPickler.dumps((backend, map_name, options)))
        except Exception as error:
            advice = "use a class or a function defined in a module, or play with --games 0"
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
            pass  # the process has died, which `receive` reports

    def receive(self, seconds: float) -> Any:
        try:
            if not self._pipe.poll(max(0.0, self._asked + seconds - time.monotonic())):
                raise Lost(f"no answer for {seconds:g} s")
            kind, value = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join(1.0)
            raise Lost(f"the process died (exit code {self._process.exitcode})") from None
        except Lost:
            raise
        except Exception as error:  # e.g. an unknown class, or a game that wrote into the pipe
            raise Lost(f"what the game returned cannot be read: {in_one_line(error)}") from None
        return _value(kind, value)

    def request_close(self) -> None:
        try:
            self._pipe.send(None)
        except OSError:
            pass  # the process has died already

    def close(self, seconds: float) -> None:
        """Tells the game to close, waits, and kills what is left of its process group."""
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
            self._process.kill()  # it does not lead a group yet, or nothing is left
        self._process.join()
        self._pipe.close()
