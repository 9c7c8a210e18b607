"""Shows runs in TensorBoard while they train and afterwards: `python -m experiments.watch RUN...`.

Curves, configurations and the newest video of each run, several runs side by side. A RUN may also be a folder with runs
below, such as `runs`. They need not log to TensorBoard. The page is reachable from this machine alone. Ctrl-C ends it.
"""

import pathlib
import signal
import sys
import tempfile
import time
from collections.abc import Sequence

from envs.errors import ConfigError
from experiments.common.arguments import Parser, folder, whole
from experiments.common.cli import one_line, run_command, signals_interrupt

SECONDS = 2.0  # between two looks at the runs
MAX_PORT = 65535


def _command(argv: Sequence[str]) -> int:
    parser = Parser(prog="python -m experiments.watch", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", type=folder, help="run directories, or folders of them")
    parser.add_argument(
        "--port", type=whole(1, MAX_PORT), help="of the page (default: the first free one from 6006 on)"
    )
    args = parser.parse_args(argv)
    from experiments.analysis.tensorboard_server import check_port, check_tensorboard

    check_tensorboard()
    if args.port is not None:
        check_port(args.port)
    with signals_interrupt() as ended, tempfile.TemporaryDirectory(prefix="iacjax-watch-") as place:
        try:
            _watch(args.runs, pathlib.Path(place), args.port)
        except KeyboardInterrupt:
            print("\nstopped", flush=True)
    return 0 if ended.number == signal.SIGINT else ended.code


def _watch(folders: Sequence[pathlib.Path], place: pathlib.Path, port: int | None) -> None:
    """Serves and follows the runs until the process is interrupted."""
    from experiments.analysis.tensorboard_server import serve
    from experiments.analysis.watching import WatchedRuns

    runs = WatchedRuns(folders, place)
    new, wrong = runs.update()
    if not new:
        raise ConfigError(wrong or "the runs are not there any more: give others")
    _tell(new, wrong)
    print(f"open     {serve(place, port)}  (Ctrl-C ends it)", flush=True)
    while True:
        time.sleep(SECONDS)
        before = wrong
        new, wrong = runs.update()
        _tell(new, wrong if wrong != before else "")


def _tell(new: Sequence[str], wrong: str) -> None:
    for name in new:
        print(f"run      {name}", flush=True)
    if wrong:
        print(f"error: {one_line(wrong)}", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 0 after Ctrl-C, 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
