"""Malformed command lines, presets, configurations and options of environments, made from what fields may be.

Each is answered by exit code 2 and one line, in bounded time, and writes nothing. What is drawn depends on SEED alone.
"""

import contextlib
import importlib
import inspect
import io
import json
import math
import pathlib
import random
import time
import typing

import pytest

from envs.errors import ConfigError
from envs.registry import FAMILIES, make_env
from experiments.common import arguments
from experiments.config.preset_io import default_settings
from experiments.config.schema import RunConfig, to_dict
from iacjax.algorithms.registry import ALGORITHMS, get_entry, option_names
from iacjax.schema import bounds_of, option, types_of

pytestmark = pytest.mark.slow
SEED = 20261
SECONDS = 60.0  # of processor time, for one answer
ALGOS = sorted(ALGORITHMS)
HUGE = "9" * 5000
COMMANDS = {
    "evaluate": [["RUN"]],
    "record": [["RUN"]],
    "export": [["RUN", "--out", "policy.onnx"], ["RUN", "--out", "policy.py"]],
    "package_policy": [["RUN", "--name", "x"]],
    "plot": [["RUN"]],
    "watch": [["RUN"]],
    "compare": [["RUN"]],
    "transfer": [["RUN"]],
    "smac_probe": [[]],
    "sweep": [["--algo", "liir", "--env", "smax:3m", "--dry-run"]],
    "benchmark": [[name] for name in ("env", "scripted", "train", "seeds", "settings", "updates", "kernels", "startup")]
    + [["learn", "--reference-dir", "nowhere"]],
    "reproduce": [[name] for name in ("aiir/bars", "aiir/fig3", "aiir/fig5", "aiir/table1", "iac/tables", "iac/fig2")]
    + [[name] for name in ("iac/fig4", "iac/fig5", "iac/fig7")],
}
CASES = [(command, base) for command, bases in COMMANDS.items() for base in bases]


def main_of(command):
    """The command as a function of its words that returns its exit code."""
    module = importlib.import_module(f"experiments.{command}")
    if hasattr(module, "main"):
        return module.main
    from experiments.common.cli import run_stoppable

    return lambda argv: run_stoppable(module.command, argv)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """(main, argv) -> its line on stderr, after checking that it is refused as all must be."""
    monkeypatch.chdir(tmp_path)

    def listing():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    def check(main, argv):
        capsys.readouterr()
        before, began = listing(), time.process_time()
        code = main(argv)
        said, shown = capsys.readouterr(), [word if len(word) < 200 else word[:200] for word in argv]
        assert code == 2, (shown, code, said)
        assert said.err.startswith("error: ") and said.err.count("\n") == 1, (shown, said.err)
        assert "Traceback" not in said.err and len(said.err) > len("error: \n"), (shown, said.err)
        assert time.process_time() - began < SECONDS, shown
        assert listing() == before, shown
        return said.err

    return check


def wrong_words(kind, bounds, draw):
    """A word that a field of this annotation cannot be read from, or that is beyond its bounds."""
    if kind is bool:
        return draw.choice(["maybe", "", "2", "yes please"])
    if typing.get_origin(kind) is typing.Literal:
        return draw.choice(["", "nope", typing.get_args(kind)[0].upper(), typing.get_args(kind)[0] + " ", HUGE])
    if kind is str:
        return ""
    beyond = [bounds.low - 1, bounds.low - 1e6] + [bounds.high * 2, bounds.high + 1] * math.isfinite(bounds.high)
    if kind is int:
        words = ["abc", "", "1.5", "1e3", "nan", "inf", "²", "0x10", "1,2", "--1", HUGE, str(10**30), "[1]", "None"]
        return draw.choice([*words, *(str(int(number)) for number in beyond)])
    words = ["abc", "", "nan", "inf", "-inf", "1e400", "-1e400", "1e-300", "1e300", "1.2.3", "²", "1e", HUGE, "None"]
    return draw.choice([*words, *(str(float(number)) for number in beyond)])


def fields_of(algo):
    """(name, annotation, bounds) of every option of a run of `algo` that is no list."""
    config = get_entry(algo).config()
    own = [(name, types_of(type(config))[name], bounds_of(type(config)).get(name)) for name in option_names(config)]
    run = [
        (name, kind, bounds_of(RunConfig).get(name))
        for name, kind in types_of(RunConfig).items()
        if name != "env_options"
    ]
    return own + run


def test_fields_of_the_run_command(refused):
    """250 words that no field takes, of all algorithms."""
    draw, main = random.Random(SEED), main_of("run")
    for _ in range(250):
        algo = draw.choice(ALGOS)
        name, kind, bounds = draw.choice(fields_of(algo))
        word = wrong_words(kind, bounds, draw)
        words = [f"{option(name)}={word}"] if draw.random() < 0.5 or word.startswith("-") else [option(name), word]
        assert refused(main, [*(["--algo", algo] if name != "algo" else []), *words])


def test_shapes_of_the_run_command(refused):
    """Words that are no options, options without values, words twice over, cut and run together."""
    draw, main = random.Random(SEED), main_of("run")
    assert refused(main, ["--run-dir", ""])
    for _ in range(80):
        name = draw.choice([name for name, kind, _ in fields_of("ippo") if kind is not bool])
        flag = option(name)
        words = draw.choice(
            [[f"{flag}x", "1"], [flag[1:], "1"], ["stray"], [flag, "--"], [f"--{HUGE}"], ["--", flag], [f"{flag}=1=2"],
             ["--env-options", "oops"], ["--env-options", "a=1", "a=2"], ["--env-options", "=1"],
             ["--env-options", "a=[" + "[" * 5000], ["--env-options", f"a={HUGE}"], ["--resume", "nowhere"],
             ["--resume", ""], ["--preset", "nowhere.json"], ["--algo", "aiir_mx"], ["--env", "smax:3n"]]
        )  # fmt: skip
        assert refused(main, words)


def wrong_json(kind, bounds, draw):
    """A value that json can write and that a field of this annotation cannot have."""
    values = [None, "yes", 1.5, [], {}, [1], ["a"], True, {"a": [None]}, [[[[]]]], "", "a\0b", "\ud800", math.nan]
    values += [math.inf, 10**400, 1e308]
    if bounds is not None:
        values += [bounds.low - 1, bounds.high * 2] if math.isfinite(bounds.high) else [bounds.low - 1]
    fits = {
        bool: lambda v: isinstance(v, bool),
        str: lambda v: isinstance(v, str) and v not in ("", "a\0b", "\ud800"),
        int: lambda v: type(v) is int and not bounds.complaint(v),
        float: lambda v: type(v) in (int, float) and abs(v) < 1e38 and not bounds.complaint(v),
    }.get(kind, lambda v: v in ([], ["a"]))
    wrong = [value for value in values if not fits(value)]
    return draw.choice(wrong)


def draw_edit(draw, algo):
    """(part, name, value): a value of a wrong type or out of its bounds."""
    config = get_entry(algo).config()
    part = draw.choice(["run", "algorithm"])
    fields = RunConfig if part == "run" else type(config)
    kinds = types_of(fields)
    name = draw.choice([name for name in kinds if name not in ("algo", "preset")])
    return part, name, wrong_json(kinds[name], bounds_of(fields).get(name), draw)


def torn(text, draw):
    """The text of a json file, spoilt."""
    cut = draw.randrange(1, max(len(text) - 1, 2))
    kind = draw.randrange(6)
    spoilt = [text[:cut], "", "[" * 100_000, text[:cut] + "\0" + text[cut:], json.dumps([text]), HUGE][kind]
    return spoilt.encode() if draw.random() < 0.8 else b"\xff\xfe" + spoilt.encode()


def test_preset_files(refused, tmp_path):
    """200 presets with one wrong value, 60 torn ones, and some of a wrong shape."""
    draw, main = random.Random(SEED), main_of("run")
    file = tmp_path / "preset.json"
    shapes = [{"algo": "ippo"}, {"run": {}, "algorithm": {}}, {"algo": 3, "run": {}, "algorithm": {}}]
    shapes += [{"algo": "ippo", "run": [], "algorithm": {}}, {"algo": "ippo", "run": {}, "algorithm": None}]
    shapes += [{"algo": "ippo", "run": {"preset": "preset.json"}, "algorithm": {}}]
    shapes += [{"algo": "ippo", "run": {}, "algorithm": {"no_such": 1}}, {"algo": "x", "run": {}, "algorithm": {}}]
    for shape in shapes:
        file.write_text(json.dumps(shape))
        assert refused(main, ["--preset", str(file)])
    for k in range(260):
        algo = draw.choice(ALGOS)
        part, name, value = draw_edit(draw, algo)
        text = json.dumps({"algo": algo, "run": {}, "algorithm": {}, "summary": "", part: {name: value}})
        file.write_bytes(text.encode() if k < 200 else torn(text, draw))
        assert refused(main, ["--preset", str(file)])


def test_configurations_of_runs(refused, tmp_path):
    """250 config.json with one wrong value, one field too many or too few parts, or torn."""
    draw, main = random.Random(SEED), main_of("run")
    for k in range(250):
        algo = draw.choice(ALGOS)
        config = json.loads(json.dumps(to_dict(default_settings(algo, "default"))))
        part, name, value = draw_edit(draw, algo)
        (config if part == "run" else config["algorithm"])[name] = value
        if k % 10 == 0:
            config = draw.choice([{**config, "algorithm": 3}, {**config, "algo": value}, {"x": 1}, [], 3, None])
        text = json.dumps(config)
        (tmp_path / "config.json").write_bytes(text.encode() if k < 200 else torn(text, draw))
        assert refused(main, ["--resume", str(tmp_path)])


def test_values_of_a_sweep(refused):
    """200 values, ranges and lists that no field of an algorithm takes."""
    draw, main = random.Random(SEED), main_of("sweep")
    for _ in range(200):
        algo = draw.choice(ALGOS)
        config = get_entry(algo).config()
        name = draw.choice(option_names(config))
        word = wrong_words(types_of(type(config))[name], bounds_of(type(config)).get(name), draw)
        form = draw.choice(["{}", "{},{}", "{}..", "{}..{}", "lin:{}..{}", "..{}", "{},"])
        more = ["--random", "3"] if ".." in form and draw.random() < 0.7 else []
        words = ["--algo", algo, "--env", "smax:3m", "--dry-run", "--set", f"{name}={form.format(word, word)}", *more]
        assert refused(main, words)


def parser_of(main, base):
    """The parser that a command reads `base` by."""
    caught = []

    class Caught(Exception):
        pass

    def keep(self, argv=None, namespace=None):
        caught.append(self)
        raise Caught

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Caught):
        patch.setattr(arguments.Parser, "parse_args", keep)
        main(base)
    (parser,) = caught
    for action in parser._actions:  # a subcommand has a parser of its own
        if isinstance(action.choices, dict):
            return action.choices[base[0]]
    return parser


@pytest.mark.parametrize("command, base", CASES, ids=lambda value: value if isinstance(value, str) else " ".join(value))
def test_options_of_the_other_commands(command, base, refused, tmp_path):
    """Of every option that has a type or choices, the words that these refuse; files that cannot be written; and what
    is no option. Numbers have bounds: a bare int or float takes -1, nan and more than 32 bits."""
    main = main_of(command)
    parser = parser_of(main, base)
    (tmp_path / "file").write_text("kept")
    run_fields = types_of(RunConfig)
    for words in (["--nonsense"], ["--nonsense", "1"], [f"--{HUGE}"]):
        assert refused(main, [*base, *words])
    for action in parser._actions:
        if not action.option_strings or action.nargs == 0:
            continue
        flag = action.option_strings[-1]
        assert action.type not in (int, float) or (command == "sweep" and action.dest in run_fields), flag
        if action.nargs != "*":
            assert refused(main, [*base, flag])
        words = ["", "²", "nan", "-inf", "1e400", "x y", "-1", HUGE, str(10**30), "1.5", ".", "/dev/null/x", "file/x"]
        words += ["/proc/nothing/x.png", "x" * 300]
        for word in words:
            if action.choices is not None or (action.type is not None and not reads(action, word)):
                assert refused(main, [*base, f"{flag}={word}"])


def reads(action, word):
    try:
        action.type(word)
    except Exception:  # as argparse has it of what it calls itself; anything else is the command's fault
        return False
    return True


@pytest.mark.parametrize("command", ["plot", "watch", "compare", "record", "evaluate", "transfer"])
def test_runs_that_are_none(command, refused, tmp_path):
    main, draw = main_of(command), random.Random(SEED)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "empty").mkdir()
    for run in ("", "nowhere", "file", "empty", "file/x", "x" * 300, "/dev/null", "/proc/1/x"):
        assert refused(main, [run])
    if command in ("plot", "compare"):
        (tmp_path / "run").mkdir()
        text = json.dumps({"algo": "ippo", "env": "smax:3m", "algorithm": {}})
        for k in range(60):
            part, name, value = draw_edit(draw, "ippo")
            edited = json.dumps({**json.loads(text), **({name: value} if part == "run" else {"algorithm": [value]})})
            (tmp_path / "run" / "config.json").write_bytes(edited.encode() if k < 30 else torn(text, draw))
            assert refused(main, ["run"])


def test_what_is_no_environment(refused):
    """Names of modules and what they hold that make none; each is called, if it can be, without arguments."""
    main = main_of("run")
    names = ["os.path:join", "builtins:dict", "builtins:list", "builtins:int", "builtins:object", "builtins:exit"]
    names += ["builtins:len", "json:loads", "json:JSONDecodeError", "math:pi", "math:sqrt", "collections:OrderedDict"]
    names += ["sys:path", "sys:exit", "os:getcwd", "random:random", "builtins:Exception", "builtins:SystemExit"]
    names += ["re:compile", "string:Template", "no.such:Thing", "os:nope", "os.path:", ":join", "os.path:join:x"]
    names += ["..x:y", "smax:", "smax", ":", "multi_pendulum:0", "multi_pendulum:-1", "toy:nope", HUGE]
    names += ["multi_pendulum:²"]
    for name in names:
        assert refused(main, ["--algo", "ippo", f"--env={name}", "--run-dir", "runs"])


def environments():
    """A member of every family of this package whose maker says what its options are."""
    named = {"smax": "3m", "multi_pendulum": "2", "multi_pendulum_shaped": "2", "toy": "constant"}
    own = ("smax", "matrix_game", "simple_world", "multi_pendulum", "multi_pendulum_shaped", "predator_prey")
    for family in (*own, "po_predator_prey", "toy"):
        yield f"{family}:{named[family]}" if family in named else family, FAMILIES[family].load(named.get(family, ""))


@pytest.mark.parametrize("name, build", list(environments()), ids=lambda value: value if isinstance(value, str) else "")
def test_options_of_environments(name, build):
    """Values that no option takes: one line, whether its annotation or the environment itself refuses them."""
    wrong = [None, "maybe", 1.5, -1, 0, True, [], {}, [["a"]], math.nan, math.inf, 10**30, (1, "x"), "x.json", "smac"]
    for option_name, parameter in inspect.signature(build).parameters.items():
        kinds = typing.get_args(parameter.annotation) or (parameter.annotation,)
        for value in wrong:
            if parameter.annotation in (bool, int) and type(value) is parameter.annotation or type(value) in kinds:
                continue  # it may be one: what the environment takes of its own type is its own tests' affair
            if value is None and type(None) in kinds:
                continue
            try:
                made = make_env(name, **{option_name: value})
            except ConfigError as error:
                assert str(error) and "\n" not in str(error), (option_name, value)
                continue
            assert float in kinds and isinstance(value, int) and math.isfinite(value), (option_name, value, made)


def test_planning_a_hundred_thousand_points_is_bounded(monkeypatch, tmp_path):
    """By the command itself, with its table of programs."""
    monkeypatch.chdir(tmp_path)
    lists = [",".join(map(str, range(1, count + 1))) for count in (250, 400)]
    words = ["--algo", "liir", "--env", "smax:3m", "--dry-run", "--set", f"epochs={lists[0]}"]
    words.append(f"anneal_steps={lists[1]}")
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main_of("sweep")(words) == 0
    assert out.getvalue().splitlines()[-1].startswith("100000 program(s)")
    assert time.process_time() - began < SECONDS
    assert list(pathlib.Path(tmp_path).iterdir()) == []
