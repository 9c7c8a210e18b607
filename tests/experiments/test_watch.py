"""Runs in TensorBoard: its own readers find the rows, the configuration and the video; the command serves and ends."""

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pytest
from PIL import Image

from experiments.analysis.watching import WatchedRuns
from experiments.loggers.csv import CsvSink
from experiments.watch import main
from tests.helpers.processes import ROOT, child_environment

pytest.importorskip("tensorboard")
pytest.importorskip("tensorboardX")

NAN = float("nan")
CONFIG = {
    "algo": "ippo",
    "env": "smax:3m",
    "seeds": 2,
    "run_dir": "runs",
    "env_options": [],
    "algorithm": {"lr": 0.0005, "gru": True},
}
METRICS = [{"iteration": k, "env_steps": 10 * k, "seed": s, "loss": NAN if k < 2 else k + s / 4} for k in (1, 2, 3)
           for s in (0, 7)]  # fmt: skip
EVALS = [{"iteration": 2, "env_steps": 20, "seed": s, "win_rate": 0.25 + s / 100} for s in (0, 7)]


def write_run(directory, metrics=METRICS, evals=EVALS, config=CONFIG):
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))
    append(directory, metrics, evals)
    return directory


def append(directory, metrics, evals=()):
    sink = CsvSink(directory)
    sink.write("metrics", list(metrics))
    sink.write("eval", list(evals))
    sink.close()


def write_video(path, shade):
    frames = [Image.new("L", (8, 6), shade), Image.new("L", (8, 6), 255)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path.read_bytes()


def read(place):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(place)).Reload()


def scalars(place, tag):
    return [(event.step, event.value) for event in read(place).Scalars(tag)]


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "runs" / "smax_3m" / "ippo" / "one")


@pytest.fixture
def place(tmp_path):
    return tmp_path / "place"


def test_rows_are_scalars_of_each_seed(run, place):
    watched = WatchedRuns([run], place)
    assert watched.update() == (["smax_3m/ippo/one"], "")
    seed_7 = place / "smax_3m" / "ippo" / "one" / "seed_7"
    assert scalars(seed_7.parent / "seed_0", "metrics/loss") == [(20, 2.0), (30, 3.0)]  # undefined at 10
    assert scalars(seed_7, "metrics/loss") == [(20, 3.75), (30, 4.75)]
    assert scalars(seed_7, "eval/win_rate") == [(20, pytest.approx(0.32))]
    append(run, [{"iteration": 4, "env_steps": 40, "seed": s, "loss": 9.0} for s in (0, 7)])
    assert watched.update() == ([], "") and scalars(seed_7, "metrics/loss")[2:] == [(40, 9.0)]


def test_rows_that_a_resumed_run_writes_again_are_there_once(run, place):
    watched = WatchedRuns([run], place)
    watched.update()
    sink = CsvSink(run)
    sink.trim((0, 7), 2)
    watched.update()
    sink.write("metrics", [*METRICS[4:], {**METRICS[4], "iteration": 4, "env_steps": 40}])
    sink.close()
    watched.update()
    assert [step for step, _ in scalars(place / "smax_3m" / "ippo" / "one" / "seed_0", "metrics/loss")] == [20, 30, 40]


def test_the_configuration_is_text_and_hyper_parameters(run, place):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    WatchedRuns([run], place).update()
    events = read(place / "smax_3m" / "ippo" / "one")
    text = events.Tensors("configuration/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "ippo on smax:3m" in text and '"lr": 0.0005' in text
    seed = read(place / "smax_3m" / "ippo" / "one" / "seed_7")
    content = HParamsPluginData.FromString(seed.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
    start = content.session_start_info
    assert start.group_name == "smax_3m/ippo/one" and start.hparams["lr"].number_value == 0.0005
    assert start.hparams["gru"].bool_value is True and start.hparams["env_options"].string_value == "[]"
    assert "run_dir" not in start.hparams  # no number depends on it


def test_the_newest_video_is_an_image(run, place):
    watched = WatchedRuns([run], place)
    watched.update()
    first = write_video(run / "battle.gif", 10)
    watched.update()
    watched.update()  # nothing new
    append(run, [{"iteration": 9, "env_steps": 90, "seed": 0, "loss": 1.0}])
    second = write_video(run / "later.gif", 90)
    os.utime(run / "battle.gif", (1, 1))
    watched.update()
    images = read(place / "smax_3m" / "ippo" / "one").Images("video")
    assert [(image.step, image.encoded_image_string) for image in images] == [(30, first), (90, second)]
    assert (images[0].width, images[0].height) == (8, 6)


def test_runs_below_a_folder_also_later_ones_each_by_a_name_of_its_own(run, place, tmp_path):
    watched = WatchedRuns([tmp_path / "runs"], place)
    assert watched.update()[0] == ["smax_3m/ippo/one"]
    write_run(tmp_path / "runs" / "old" / "smax_3m" / "ippo" / "one")
    assert watched.update()[0] == ["old/smax_3m/ippo/one"]
    assert read(place / "old" / "smax_3m" / "ippo" / "one" / "seed_0").Scalars("eval/win_rate")[0].step == 20


def test_a_damaged_run_is_named_and_the_others_are_read(run, place, tmp_path):
    other = write_run(run.parent / "two")
    watched = WatchedRuns([tmp_path / "runs"], place)
    (run / "metrics.csv").write_text("iteration,env_steps,seed,loss\n1,10,0,x\n")
    new, wrong = watched.update()
    assert new == ["smax_3m/ippo/two"] and "one/metrics.csv is damaged" in wrong
    assert scalars(place / "smax_3m" / "ippo" / other.name / "seed_0", "eval/win_rate") == [(20, 0.25)]
    (run / "metrics.csv").unlink()
    append(run, METRICS)  # restored
    assert watched.update() == (["smax_3m/ippo/one"], "")


@pytest.mark.parametrize(
    "words", [["nowhere"], ["empty"], ["file"], ["damaged"], ["torn"], ["damaged", "--port", "0"], []]
)
def test_wrong_input_is_one_line(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    write_run(tmp_path / "damaged", config={"env": "smax:3m"})
    (write_run(tmp_path / "torn") / "eval.csv").write_text("iteration,env_steps,seed\n1,2\n")
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_busy_port_and_a_missing_package_are_one_line(run, monkeypatch, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main([str(run), "--port", str(port)]) == 2
    assert re.fullmatch(rf"error: --port {port} cannot be used .*\n", capsys.readouterr().err)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert main([str(run)]) == 2
    assert capsys.readouterr().err == 'error: this needs TensorBoard: pip install "iacjax[tensorboard]"\n'


@dataclasses.dataclass
class Page:
    """The data that TensorBoard serves to its page."""

    url: str

    def get(self, path, **query):
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=60) as answer:
            return answer.headers, answer.read()

    def json(self, path, **query):
        return json.loads(self.get(path, **query)[1])


def test_it_serves_on_this_machine_until_it_is_interrupted(run, tmp_path):
    video = write_video(run / "battle.gif", 10)
    (tmp_path / "temporary").mkdir()
    command = [sys.executable, "-m", "experiments.watch", str(run)]
    environment = child_environment(TMPDIR=str(tmp_path / "temporary"))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as process:
        try:
            said = [process.stdout.readline() for _ in range(2)]
            assert said[0] == "run      smax_3m/ippo/one\n"
            page = Page(re.fullmatch(r"open     (http://127\.0\.0\.1:\d+/)  \(Ctrl-C ends it\)\n", said[1])[1])
            name = "smax_3m/ippo/one"
            for plugin, runs in (("images", 1), ("scalars", 2)):
                deadline = time.monotonic() + 60
                while len(page.json(f"data/plugin/{plugin}/tags")) < runs:  # a thread reads the files
                    assert time.monotonic() < deadline, f"no {plugin} after a minute"
                    time.sleep(0.1)
            found = page.json("data/plugin/scalars/scalars", run=f"{name}/seed_7", tag="metrics/loss")
            assert [(step, value) for _, step, value in found] == [(20, 3.75), (30, 4.75)]
            (image,) = page.json("data/plugin/images/images", run=name, tag="video", sample=0)
            headers, content = page.get("data/plugin/images/individualImage?" + image["query"])
            assert content == video and headers["Content-Type"] == "image/gif"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()  # where something failed: nothing waits for ever
    assert (process.returncode, out, err) == (0, "\nstopped\n", "")
    assert list((tmp_path / "temporary").iterdir()) == []
