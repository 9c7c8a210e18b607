"""What makes the tests quick: most of their time is spent in XLA's compiler, so it works less and only once.

XLA's first optimisation level takes 0.6 of the default's time, and programs of these sizes run no slower; in the
directories UNOPTIMISED, whose programs are many and run for a moment, they are not optimised at all; without the
fusion emitters, which only jaxlib 0.10 can do without, it takes half of that. What is compiled is kept for the
session: by both processes, by the tests of other files and by the commands that tests start. Set before jax is first
used; children of the tests inherit it.
"""

import contextlib
import gc
import os
import shutil
import signal
import sys
import tempfile
from importlib.metadata import version

import pytest

pytest.register_assert_rewrite("tests.helpers")  # before they are imported

from tests.helpers import durations  # noqa: E402

# Imported later it would close the handlers of logging that it finds, absl's among them, which closes the file that
# pytest takes for stderr.
with contextlib.suppress(ImportError):
    import submitit  # noqa: F401

FLAGS = {"--xla_backend_optimization_level": "1", "--xla_force_host_platform_device_count": "1"}
FLAGS["--xla_disable_hlo_passes"] = "cpu-parallel-task-assigner"  # as the commands set it
if version("jaxlib").startswith("0.10."):  # a flag that XLA does not know ends the process
    FLAGS["--xla_cpu_use_fusion_emitters"] = "false"
UNOPTIMISED = ("envs/", "iacjax/")
OPTIMISED = ("test_probes.py", "test_recurrent.py")  # runs for as long as it compiles; two programs to the bit
CACHE = "JAX_COMPILATION_CACHE_DIR"
SHORTEST = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
for flag, value in FLAGS.items():
    if flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}={value}".strip()


def pytest_addoption(parser):
    parser.addoption("--write-durations", action="store_true", help="measure, and rewrite tests/durations.json")


def pytest_configure(config):
    """A compile cache for the session, of small programs too; a directory that the caller names is used, and kept."""
    gc.set_threshold(50_000, 20, 50)  # tracing makes objects by the million: with Python's 700, an eighth of its time
    os.environ.setdefault(SHORTEST, "0")
    if config.getoption("--write-durations"):
        config.pluginmanager.register(durations.Measuring())
    if not os.environ.get(CACHE):  # the workers are given the one that began them
        directory = tempfile.mkdtemp(prefix="iacjax-tests-")
        os.environ[CACHE] = directory
        config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
        config.add_cleanup(lambda: os.environ.pop(CACHE))


@pytest.hookimpl(tryfirst=True)  # before tests are selected by their marks
def pytest_collection_modifyitems(items):
    """Long files first: one that is begun last is waited for while the other process has nothing to do. What is known
    to be quick is marked as fast."""
    known = durations.read()
    rank = {name: place for place, name in enumerate(known)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))
    for item in items:
        if durations.is_fast(item, known):
            item.add_marker(pytest.mark.fast)


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left():
    """What the tests of a file, or the commands that they call, set for the whole process is undone after them: a file
    passes or fails the same whichever stood before it. The environment, jax's settings, the handlers of signals."""
    environment, settings = dict(os.environ), _jax_settings()
    # Ignored under nohup, or in a shell's background; the processes that tests start would inherit it.
    for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for name in os.environ.keys() - environment.keys() - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(environment)
    for name, value in settings.items():
        if _jax_settings()[name] != value:
            sys.modules["jax"].config.update(name, value)
    for number, handler in handlers.items():
        if signal.getsignal(number) != handler:
            signal.signal(number, handler)


@pytest.fixture(scope="module", autouse=True)
def _hardly_optimised(request, _nothing_is_left):
    file = request.path.relative_to(request.config.rootpath / "tests").as_posix()
    if file.startswith(UNOPTIMISED) and request.path.name not in OPTIMISED:
        import jax

        jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="session", autouse=True)
def _no_program_is_kept():
    """Tests may replace what a training calls; in this process it is always traced."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.training.kept_programs.directory_of_programs", lambda: None)
        yield


def _jax_settings():
    """{name: value}; empty where jax has not been imported."""
    return dict(sys.modules["jax"].config.values) if "jax" in sys.modules else {}
