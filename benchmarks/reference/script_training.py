"""JaxMARL's own scripts trained to the end: their reports as a curve, and their final policies in our evaluator.

`scripts` runs them unchanged. IPPO and MAPPO report the mean over the episodes that ended in an update. QMIX, VDN and
PQN report means over all steps of what their log wrapper holds, which is 0 before the first episode of a rollout has
ended; they take their environment as an argument, so one that also reports what ended just now gives the rate by
episodes.
"""

import contextlib
import copy
import difflib
import math
import pathlib
import time
import types
from typing import Any

from benchmarks.reference.our_training import CurvePoint
from benchmarks.reference.script_policies import script_policy
from benchmarks.reference.scripts import FACTS, SCRIPTS, Reports, import_script, make_program, orthogonal_one_by_one
from envs.errors import ConfigError

LEARNERS = {  # ours -> theirs in SCRIPTS
    "ippo": "jaxmarl ippo_rnn",
    "mappo": "jaxmarl mappo_rnn",
    "qmix": "jaxmarl qmix_rnn (GRU 64)",
    "vdn": "jaxmarl vdn_rnn (GRU 64)",
    "pqn_vdn": "jaxmarl pqn_vdn_rnn",
}
SHOWN = (*FACTS, "LR", "BUFFER_SIZE", "EPS_DECAY")
ENDED = {"ended_won": "returned_won_episode", "ended_returns": "returned_episode_returns"}  # ours -> their wrapper's


def script_config(algo: str, directory: pathlib.Path, map_name: str, steps: int, changes: dict[str, Any]) -> dict:
    """The script's configuration: its file, the changes of `SCRIPTS`, the map and the steps, then `changes`.

    TOTAL_TIMESTEPS becomes the multiple of a rollout that the script trains, at most `steps`.

    Raises:
      ConfigError: `changes` has a name that the file does not, or `steps` is less than a rollout.
    """
    import yaml

    script = SCRIPTS[LEARNERS[algo]]
    config = yaml.safe_load((directory / script.config).read_text())
    for name in changes:
        if name not in config:
            near = difflib.get_close_matches(name, config, n=1)
            hint = f"did you mean {near[0]}?" if near else f"see {script.config}; --algos takes one at a time"
            raise ConfigError(f"--reference-set {name}: {algo} has no such setting: {hint}")
    config |= {"MAP_NAME": map_name, **script.changes, **changes}
    rows = config["NUM_ENVS"] * config["NUM_STEPS"]
    if steps < rows:
        raise ConfigError(f"--steps {steps} is less than one update of JaxMARL's {algo}: give at least {rows}")
    config["TOTAL_TIMESTEPS"] = steps // rows * rows
    if "BUFFER_SIZE" in config:  # in rollouts; more than are played only cost memory
        least = config["BUFFER_BATCH_SIZE"] * config["NUM_ENVS"]
        played = config["TOTAL_TIMESTEPS"] // config["NUM_STEPS"]
        config["BUFFER_SIZE"] = min(config["BUFFER_SIZE"], max(least, played))
    if "TEST_DURING_TRAINING" in config:  # a Q-learner, whose reports name their seed if asked
        config["WANDB_LOG_ALL_SEEDS"] = True
    return config


def with_ended_episodes(env: Any) -> Any:
    """JaxMARL's `env`, whose infos also hold returns and wins where an episode has just ended, and 0 elsewhere."""
    from jaxmarl.wrappers.baselines import JaxMARLWrapper

    class WithEndedEpisodes(JaxMARLWrapper):
        def step(self, key, state, action):
            *rest, info = self._env.step(key, state, action)
            ended = {name: info[theirs] * info["returned_episode"] for name, theirs in ENDED.items()}
            return *rest, info | ended

    return WithEndedEpisodes(env)


def curve_of(reports: list[dict[str, float]], rows: int) -> list[CurvePoint]:
    """One seed's reports, one per update of `rows` steps, in any order, as a curve.

    IPPO and MAPPO report no number of episodes: an update in which any ended counts as one (updates are of one size).
    """
    points = []
    for i, report in enumerate(sorted(reports, key=lambda report: report["env_step"])):
        steps = (i + 1) * rows
        if "win_rate" in report:
            none = math.isnan(report["win_rate"])
            points.append(CurvePoint(steps, *((0.0,) * 3 if none else (1.0, report["win_rate"], report["returns"]))))
        else:
            means = (report["returned_episode"], report["ended_won"], report["ended_returns"])
            points.append(CurvePoint(steps, *(mean * rows for mean in means)))
    return points


def split_reports(reports: list[dict[str, float]], identities: list[int]) -> list[list[dict[str, float]]]:
    """The reports seed by seed: by the name they carry (Q-learners), or by turns, as a vmapped io_callback."""
    if not any(f"rng{number}/env_step" in reports[0] for number in identities):
        return [reports[i :: len(identities)] for i in range(len(identities))]
    return [[report for report in reports if f"rng{number}/env_step" in report] for number in identities]


def final_params(state: Any) -> Any:
    """What the agents' network applies, from the `runner_state` that a script's train function returns.

    MAPPO's first train state is its actor's, QMIX's parameters are the agents' and the mixer's, and PQN's network needs
    the means and variances of its batch normalisation too.
    """
    while not hasattr(state, "params"):
        state = state[0]
    if hasattr(state, "batch_stats"):
        return {"params": state.params, "batch_stats": state.batch_stats}
    return state.params["agent"] if "agent" in state.params else state.params


def evaluate_script(
    algo: str, module: types.ModuleType, config: dict[str, Any], params: Any, seeds: int, episodes: int
) -> list[tuple[float, float]]:
    """(win rate, mean return) of greedy episodes, seed by seed: in the same episodes as ours."""
    import jax
    import numpy as np

    from envs.registry import make_env
    from experiments.analysis.evaluation import EVALUATION
    from iacjax.evaluation import evaluate

    env = make_env(f"jaxmarl:smax:{config['MAP_NAME']}", **config["ENV_KWARGS"])
    algorithm = script_policy(algo, module, config, env.spec)
    play = jax.jit(lambda params, key: evaluate(env, algorithm, params, key, episodes))
    results = []
    for seed in range(seeds):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), EVALUATION), 0)
        found = play(jax.tree.map(lambda leaf, seed=seed: leaf[seed], params), key)
        results.append(tuple(float(np.asarray(x, np.float64).mean()) for x in (found.won, found.returns)))
    return results


def train_script(
    algo: str, directory: pathlib.Path, map_name: str, steps: int, seeds: int, episodes: int, changes: dict[str, Any]
) -> dict[str, Any]:
    """Trains the script's `seeds` in one vmapped program, as it does itself, then evaluates the final policies.

    Returns:
      name, env_steps (a seed), config (what the table shows), curves (a list of `CurvePoint` a seed), greedy (win rate
      and return a seed), train_s (training alone), compile_s (building, tracing and compiling it), cpu_s (of both).
    """
    import jax
    import numpy as np

    began, worked = time.perf_counter(), time.process_time()
    config, reports = script_config(algo, directory, map_name, steps, changes), Reports()
    kept = copy.deepcopy(config)  # the script changes its own
    module = import_script(directory / SCRIPTS[LEARNERS[algo]].script, reports)
    keys = jax.random.split(jax.random.PRNGKey(0), seeds)
    with orthogonal_one_by_one() if seeds > 1 else contextlib.nullcontext():
        train = make_program(module, config, with_ended_episodes)
        program = jax.jit(jax.vmap(lambda key: final_params(train(key)["runner_state"]))).lower(keys).compile()
    compiled = time.perf_counter()
    params = jax.block_until_ready(program(keys))
    jax.effects_barrier()
    trained, cpu = time.perf_counter(), time.process_time() - worked
    rows = kept["NUM_ENVS"] * kept["NUM_STEPS"]
    by_seed = split_reports([report for _, _, report in reports.reports], np.asarray(keys)[:, 0].tolist())
    return {
        "name": SCRIPTS[LEARNERS[algo]].script.rpartition("/")[2].removesuffix(".py"),
        "env_steps": kept["TOTAL_TIMESTEPS"],
        "config": {name.lower(): kept[name] for name in SHOWN if name in kept},
        "curves": [curve_of(each, rows) for each in by_seed],
        "greedy": evaluate_script(algo, module, kept, params, seeds, episodes),
        "train_s": trained - compiled,
        "compile_s": compiled - began,
        "cpu_s": cpu,
    }
