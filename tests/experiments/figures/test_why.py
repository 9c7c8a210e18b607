"""The figure that changes one setting of AIIR-MIX at a time: its runs, and what is drawn of kept numbers."""

import dataclasses

from experiments.figures.aiir import why
from experiments.reproduce import main


def test_each_variant_changes_what_it_says_and_nothing_else():
    training = why.training(["aiir/why"])
    fields = {run.method: dataclasses.asdict(run.settings.algorithm) for run in training.runs}
    assert list(fields) == list(why.VARIANTS)
    unchanged = fields.pop("aiir_mix")
    changed = {name: {key for key in unchanged if unchanged[key] != new[key]} for name, new in fields.items()}
    assert changed == {
        **{name: set(why.VARIANTS[name].fields) for name in fields},
        "no_intrinsic": changed["no_intrinsic"],
    }
    assert fields["no_intrinsic"]["reward_net"] == "none" and fields["linear"]["combine"] == "linear"
    assert {(run.env, run.settings.run.seeds, run.settings.run.total_steps) for run in training.runs} == {
        ("smax:8m", 5, 300_000)
    }


def test_the_picture_and_its_table(tmp_path, monkeypatch):
    """The unchanged method's five seeds end at 0.2, linear ones at 0.9, which they reach after 20 k steps."""
    figures, folder = [], tmp_path / "aiir"
    folder.mkdir()
    monkeypatch.setattr(why.style, "save", lambda figure, path: figures.append(figure))
    rows = ["budget,algo,env,seed,env_steps,win_rate,return_mean"]
    for name, end in (("aiir_mix", 0.2), ("linear", 0.9), ("someone_elses", 1.0)):
        rows += [f"small,{name},smax:8m,{seed},{at},{end},1" for seed in range(5) for at in range(4000, 24_000, 4000)]
    (folder / "why.csv").write_text("\n".join([*rows, ""]))
    assert main(["aiir/why", "--redraw", "--out", str(folder / "why.png")]) == 0
    (ax,) = figures[0].axes
    titles = [why.VARIANTS[name].title for name in ("aiir_mix", "linear")]
    assert [label.get_text() for label in ax.get_yticklabels()] == titles
    assert ax.lines[0].get_xdata().tolist() == [0.2] * 5 and ax.lines[2].get_xdata().tolist() == [0.9] * 5
    table = (folder / "why.md").read_text()
    arrives = "arrives in 0 of 5 seeds, mean at least 0.02 M"
    assert f"| {titles[0]} | 0.20 [0.20, 0.20] |  | {arrives} | 0 of 5 seeds |" in table
    higher = "1.00 [1.00, 1.00], confirmed"
    row = f"| {titles[1]} | 0.90 [0.90, 0.90] | {higher} | arrives in 5 of 5 seeds, mean 0.02 M | 0 of 5 seeds |"
    assert row in table
    page = tmp_path / "claims.md"
    assert main(["claims", "--results", str(tmp_path), "--out", str(page)]) == 0
    assert "## AIIR-MIX: what slows it down\n" in page.read_text() and row in page.read_text()


def test_redrawing_needs_numbers(tmp_path, capsys):
    assert main(["aiir/why", "--redraw", "--out", str(tmp_path / "why.png")]) == 2
    assert "nothing of budget small is saved in" in capsys.readouterr().err
