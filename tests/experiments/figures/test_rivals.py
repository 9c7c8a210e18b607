"""The figures with rivals: drawn from saved numbers, without training, and what they would train."""

import pytest

from experiments.figures.rivals import jaxmarl, mabrax
from experiments.reproduce import main

HEAD = "budget,algo,env,seed,env_steps,"


def saved(path, columns, methods, env):
    rows = [HEAD + columns]
    rows += [f"small,{m},{env},{s},{n},{n / 2000},1" for m in methods for s in (0, 1, 2) for n in (500, 1000)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*rows, ""]))


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved."""
    found = []
    monkeypatch.setattr("experiments.analysis.style.save", lambda figure, path: found.append(figure))
    return found


def test_jaxmarls_smax_has_the_scripts_and_the_published_win_rates(tmp_path, figures):
    out = tmp_path / "smax" / "jaxmarl.png"
    saved(out.with_suffix(".csv"), "win_rate,return_mean", ("ippo", "qmix"), "jaxmarl:smax:2s3z")
    scripts = "algo,map,system,env_steps,win_rate_at_25,win_rate_at_50,win_rate_at_75,win_rate_at_100,greedy_win_rate\n"
    scripts += "ippo,2s3z,jaxmarl,2000000,,0.1,0.2,0.4,0.7\nippo,2s3z,ours,2000000,0,0,0,0,0.9\n"
    (tmp_path / "learn_peers.csv").write_text(scripts)
    assert main(["smax/jaxmarl", "--redraw", "--out", str(out)]) == 0
    (ax,) = [ax for ax in figures[0].axes if ax.get_visible()]
    assert ax.get_title() == "2s3z"
    (dotted,) = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert dotted.get_ydata()[0] == 96.0
    (dashed,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert dashed.get_xydata().tolist() == [[1.0, 10.0], [1.5, 20.0], [2.0, 40.0]]
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    assert cross.get_xydata().tolist() == [[2.0, 70.0]]
    table = out.with_suffix(".md").read_text()
    assert "| IPPO | 0.38 [0.38, 0.38] |" in table and "| IPPO, published | 0.96 |" in table


def test_mabrax_has_returns_on_scales_of_their_own(tmp_path, figures):
    out = tmp_path / "continuous" / "mabrax.png"
    saved(out.with_suffix(".csv"), "return_mean,return_std", ("iac", "facmac"), mabrax.ENVS[0])
    assert main(["continuous/mabrax", "--redraw", "--out", str(out)]) == 0
    (ax,) = [ax for ax in figures[0].axes if ax.get_visible()]
    assert ax.get_ylabel() == "episode return (greedy)"
    assert "| IAC | 0 [0, 0] |" in out.with_suffix(".md").read_text()


@pytest.mark.parametrize("target", ["smax/jaxmarl", "continuous/mabrax"])
def test_what_is_not_saved_is_one_line(target, tmp_path, capsys):
    assert main([target, "--redraw", "--out", str(tmp_path / "x.png")]) == 2
    err = capsys.readouterr().err
    assert "train" in err and err.count("\n") == 1


def test_what_would_be_trained():
    runs = jaxmarl.training(["smax/jaxmarl", "--budget", "full", "--methods", "ippo", "qmix"]).runs
    assert {(run.method, run.settings.run.preset) for run in runs} == {("ippo", "tuned"), ("qmix", "jaxmarl")}
    assert len(runs) == 8 and {run.settings.run.total_steps for run in runs} == {2_000_000}


def test_off_policy_methods_have_the_same_settings_and_ppo_its_own():
    runs = {run.method: run.settings for run in mabrax.training(["continuous/mabrax"]).runs}
    assert set(runs) == set(mabrax.METHODS)
    assert runs["mappo"].run.preset == "control" and runs["mappo"].algorithm.rollout_length > 1
    for name in set(runs) - {"mappo"}:
        fields = vars(runs[name].algorithm)
        assert {k: fields[k] for k in mabrax.OFF_POLICY if k in fields} == {
            k: v for k, v in mabrax.OFF_POLICY.items() if k in fields
        }
        assert fields["updates_per_step"] == 1 / 16 and fields["gamma"] == 0.99
