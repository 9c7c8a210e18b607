"""How much processor time tests take: which files are begun first, and which tests are `fast`.

`pytest --write-durations` measures the files that it runs and rewrites their entries in `tests/durations.json`: the
seconds of a file, and the tests and fixtures in it that take more than SLOW seconds. Tests share what they have built
and compiled, so a test that is quick beside others may be slow without them: `pytest -m fast --write-durations` adds
those that are, until there are none. Processor time, that of child processes included, is the same however busy the
machine is.
"""

import json
import pathlib
import resource
from collections.abc import Iterable

import pytest

FILE = pathlib.Path(__file__).parents[1] / "durations.json"
SLOW = 0.5  # seconds of a test or a fixture that is not fast
SHORT_FILE, LONG_FILE = 5, 27  # seconds: files that are not listed, and files of which no test is fast


def read() -> dict[str, dict]:
    """{file: {"seconds": 12, "slow": [names]}}, the longest files first."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def is_fast(item: pytest.Item, known: dict[str, dict]) -> bool:
    """Neither it nor a fixture that it uses is known to be slow; what was never measured is fast."""
    if item.get_closest_marker("slow") or item.get_closest_marker("gpu"):
        return False
    file, _, name = item.nodeid.partition("::")
    entry = known.get(file, {"seconds": 0, "slow": []})
    return entry["seconds"] < LONG_FILE and not {name, *getattr(item, "fixturenames", ())} & set(entry["slow"])


def processor_seconds() -> float:
    """Of this process so far, and of the children that it has waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


class Measuring:
    """A plugin of pytest, in each process that runs tests and in the one that starts them."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self.slow: dict[str, set[str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item):
        began = processor_seconds()
        result = yield
        own = [name for name in item.fixturenames if hasattr(item.module, name)]
        item.user_properties.append(("setup", (processor_seconds() - began, own)))
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        began = processor_seconds()
        try:
            return (yield)
        finally:
            item.user_properties.append(("call", processor_seconds() - began))

    def pytest_runtest_logreport(self, report):
        measured = dict(report.user_properties)
        if report.when != "teardown" or "setup" not in measured:
            return
        file, _, name = report.nodeid.partition("::")
        (setup, fixtures), call = measured["setup"], measured.get("call", 0.0)
        self.seconds[file] = self.seconds.get(file, 0.0) + setup + call
        slow = self.slow.setdefault(file, set())
        slow.update([name] if call > SLOW else [], fixtures if setup > SLOW else [])

    def pytest_sessionfinish(self, session):
        if hasattr(session.config, "workerinput"):  # the process that starts them has all reports
            return
        entries = {name: entry for name, entry in read().items() if (FILE.parents[1] / name).exists()}
        for name, seconds in self.seconds.items():
            old = entries.pop(name, {"seconds": 0, "slow": []})
            if session.config.option.markexpr == "fast":
                entries[name] = _entry(max(seconds, old["seconds"]), self.slow[name] | set(old["slow"]))
            elif seconds > SHORT_FILE or self.slow[name]:
                entries[name] = _entry(seconds, self.slow[name])
        longest_first = sorted(entries.items(), key=lambda each: (-each[1]["seconds"], each[0]))
        lines = (f" {json.dumps(name)}: {json.dumps(entry)}" for name, entry in longest_first)
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _entry(seconds: float, slow: Iterable[str]) -> dict:
    return {"seconds": round(seconds), "slow": sorted(slow)}
