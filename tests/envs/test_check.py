"""check_env accepts correct environments and says in one line what is wrong with each broken one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ActionSpec, ConfigError, EnvSpec, select_envs, vectorize
from envs.check import check_env, random_actions
from envs.toy.probes import death, memory, time_limit


class Broken:
    """The time-limit probe (2 agents, 2 actions, 5 steps) with faults: hooks receive and return (state, timestep)."""

    def __init__(self, env=None, spec=None, on_reset=None, on_step=None, on_restart=None):
        self.env = env or time_limit()
        self.spec = self.env.spec._replace(**{"name": "toy:broken", "state_is_obs": False, **(spec or {})})
        self.hooks = {"reset": on_reset, "step": on_step, "restart": on_restart}

    def _spoil(self, call, given, *args):
        hook = self.hooks[call]
        return hook(*given, *args) if hook else given

    def reset(self, key, num_envs):
        return self._spoil("reset", self.env.reset(key, num_envs))

    def step(self, key, state, action):
        return self._spoil("step", self.env.step(key, state, action), state, action)

    def restart(self, key, state, timestep, where):
        if self.hooks["restart"]:
            return self.hooks["restart"](state, timestep, where, self.env.reset(key, where.shape[0]))
        return self.env.restart(key, state, timestep, where)


def edit(**fields):
    """A hook that replaces fields of the timestep by functions of (state, timestep)."""

    def hook(state, timestep, *_):
        return state, timestep._replace(**{name: make(state, timestep) for name, make in fields.items()})

    return hook


def both(hook):
    return {"on_reset": hook, "on_step": hook}


def calls_python(state, timestep, old, action):
    return (state, timestep) if action[0, 0] > 0 else (old, timestep)


def starts_again_alone(state, timestep, old, action):
    again = state._replace(t=jnp.where(old.t == 5, 1, state.t))
    return again, timestep._replace(truncated=again.t == 5)


def forgets_the_others(state, timestep, where, fresh):
    """The right timestep, but the state of every environment is a new one."""
    return fresh[0], select_envs(where, fresh[1], timestep)


def only_while_asked(state, timestep, where, fresh):
    return jax.tree.map(lambda new, old: jnp.where(where.any(), new, old), fresh, (state, timestep))


def still_over(state, timestep, where, fresh):
    state, new = select_envs(where, fresh, (state, timestep))
    return state, new._replace(truncated=jnp.ones_like(new.truncated) & where | new.truncated)


def keeps_the_reward(state, timestep, where, fresh):
    state, new = select_envs(where, fresh, (state, timestep))
    return state, new._replace(reward=timestep.reward)


def nudges_the_state(state, timestep, where, fresh):
    state, new = select_envs(where, fresh, (state, timestep))
    return state._replace(hidden=state.hidden + 1), new


def calls_out(reward):
    return reward + np.float32(dice.random())


def raises(reward):
    raise KeyError("no such unit")


@jax.custom_batching.custom_vmap
def unmapped(obs):
    return obs


@unmapped.def_vmap
def _mapped(axis_size, in_batched, obs):
    return obs + 0.5, True


@jax.custom_batching.custom_vmap
def unmappable(obs):
    return obs


@unmappable.def_vmap
def _refuses(axis_size, in_batched, obs):
    raise NotImplementedError("no rule")


dice = np.random.default_rng(0)

BROKEN = {
    "state is not the observations": (
        both(edit(state=lambda s, ts: ts.state + jnp.float32(1))) | {"spec": {"state_is_obs": True}},
        "toy:broken: the spec says state_is_obs, but state is not the concatenated observations at step 0",
    ),
    "state has other sizes than the observations": (
        {"spec": {"state_dim": 3, "state_is_obs": True}},
        "toy:broken: the spec says state_is_obs, but state_dim is 3 and the observations have 2 numbers",
    ),
    "spec": (
        {"spec": {"horizon": 0}},
        "toy:broken: horizon is 0, it must be a positive integer",
    ),
    "one action": (
        {"spec": {"action": ActionSpec(num_actions=1)}},
        "toy:broken: num_actions is 1, give at least 2",
    ),
    "two action kinds": (
        {"spec": {"action": ActionSpec(num_actions=2, dim=1)}},
        "toy:broken: give one of num_actions and dim, not both",
    ),
    "bounds": (
        {"spec": {"action": ActionSpec(dim=1, low=2.0, high=1.0)}},
        "toy:broken: low 2.0 is not below high 1.0",
    ),
    "true for a size": (
        {"spec": {"num_agents": True}},
        "toy:broken: num_agents is True, it must be a positive integer",
    ),
    "no action spec": (
        {"spec": {"action": 3}},
        "toy:broken: action is a int, it must be an ActionSpec",
    ),
    "half an action": (
        {"spec": {"action": ActionSpec(num_actions=2.5)}},
        "toy:broken: num_actions is 2.5, it must be an integer, at least 0",
    ),
    "no bound": (
        {"spec": {"action": ActionSpec(dim=1, high=float("inf"))}},
        "toy:broken: low and high are -1.0 and inf, they must be finite numbers",
    ),
    "no info": (
        both(edit(info=lambda s, ts: None)),
        "toy:broken: info of reset is a NoneType, it must be a dict of arrays",
    ),
    "no reward": (
        both(edit(reward=lambda s, ts: None)),
        "toy:broken: reward of reset is a NoneType, it must be an array",
    ),
    "ragged action mask": (
        {"spec": {"action": ActionSpec(dim=2, mask=((True, True), (True,)))}},
        "toy:broken: the action mask has shape no shape (its rows differ in length), the spec says (2, 2)",
    ),
    "action mask": (
        {"spec": {"action": ActionSpec(dim=2, mask=((True, True),))}},
        "toy:broken: the action mask has shape (1, 2), the spec says (2, 2)",
    ),
    "shape": (
        {"spec": {"obs_dim": 2}},
        "toy:broken: obs of reset has shape (3, 2, 1), the spec says (3, 2, 2)",
    ),
    "dtype": (
        both(edit(reward=lambda s, ts: ts.reward.astype(jnp.int32))),
        "toy:broken: reward of reset is int32, it must be float32",
    ),
    "info shape": (
        both(edit(info=lambda s, ts: {"kills": jnp.int32(3)})),
        "toy:broken: info['kills'] of reset has shape (), its first axis must be num_envs = 3",
    ),
    "won": (
        both(edit(info=lambda s, ts: {"won": ts.reward})),
        "toy:broken: info['won'] must be bool[E]",
    ),
    "weak type": (
        both(lambda state, timestep, *_: ((state, jnp.full(3, 1)), timestep)),
        "toy:broken: reset returns a weakly typed array at [0][1]: give it an explicit dtype",
    ),
    "no timestep": (
        {"on_step": lambda state, timestep, *_: (state, timestep.obs)},
        "toy:broken: step must return (state, TimeStep)",
    ),
    "python flow": (
        {"on_step": calls_python},
        "toy:broken: step cannot be traced by jax (TracerBoolConversionError: ",
    ),
    "info keys": (
        {"on_step": edit(info=lambda s, ts: {"won": ts.terminated})},
        "toy:broken: info of step has the keys ['won'], info of reset has []",
    ),
    "tree": (
        {"on_step": lambda state, timestep, *_: ((state, state), timestep)},
        "toy:broken: step returns a different pytree than reset, so a scan cannot carry it",
    ),
    "carry dtype": (
        {"on_step": lambda state, timestep, *_: (state._replace(t=state.t.astype(jnp.float32)), timestep)},
        "toy:broken: step returns float32[3] at [0].t, reset returns int32[3]",
    ),
    "not finite": (
        {"on_step": edit(reward=lambda s, ts: jnp.where(s.t == 3, jnp.nan, ts.reward))},
        "toy:broken: reward is not finite at step 3",
    ),
    "not finite after the end": (
        {"on_step": edit(obs=lambda s, ts: ts.obs / ts.reward[:, None, None])},
        "toy:broken: obs of agent 0 is not finite at step 6",
    ),
    "not finite for the dead": (
        {"env": death(), "on_step": edit(obs=lambda s, ts: jnp.where(ts.alive[..., None], ts.obs, jnp.nan))},
        "toy:broken: obs of agent 1, which is dead, is not finite at step ",
    ),
    "raises while it is played": (
        {
            "on_step": edit(
                reward=lambda s, ts: jax.pure_callback(raises, ts.reward, ts.reward, vmap_method="expand_dims")
            )
        },
        "toy:broken: fails while it is played (",
    ),
    "no legal action": (
        {"on_step": edit(avail=lambda s, ts: ts.avail & (s.t < 2)[:, None, None])},
        "toy:broken: agent 0 has no legal action at step 2: give it at least one (a no-op, if dead)",
    ),
    "no legal action for the dead": (
        {"env": death(), "on_step": edit(avail=lambda s, ts: ts.avail & ts.alive[..., None])},
        "toy:broken: agent 1, which is dead, has no legal action at step ",
    ),
    "over at reset": (
        {"on_reset": edit(terminated=lambda s, ts: ~ts.terminated)},
        "toy:broken: terminated is set by reset",
    ),
    "cut at reset": (
        {"on_reset": edit(truncated=lambda s, ts: ~ts.truncated)},
        "toy:broken: truncated is set by reset",
    ),
    "reward at reset": (
        {"on_reset": edit(reward=lambda s, ts: ts.reward + 1)},
        "toy:broken: the reward of reset is not 0",
    ),
    "dead at reset": (
        {"on_reset": edit(alive=lambda s, ts: ~ts.alive)},
        "toy:broken: no agent is alive after reset",
    ),
    "cut early": (
        {"on_step": edit(truncated=lambda s, ts: s.t >= 4)},
        "toy:broken: truncated at step 4, the horizon is 5",
    ),
    "no limit": (
        {"spec": {"horizon": 4}, "on_step": edit(terminated=lambda s, ts: s.t < 0, truncated=lambda s, ts: s.t > 5)},
        "toy:broken: an episode continues past the horizon of 4 steps: set truncated there",
    ),
    "resets itself": (
        {"on_step": starts_again_alone},
        "toy:broken: an episode that was over at step 5 continues: an environment must never restart by itself",
    ),
    "restart of none": (
        {"on_restart": nudges_the_state},
        "toy:broken: a restart of no environment changes [0].hidden",
    ),
    "restart not fresh": (
        {"on_restart": still_over},
        "toy:broken: a restarted environment is still terminated or truncated",
    ),
    "restart with reward": (
        {"on_restart": keeps_the_reward},
        "toy:broken: the reward of a restarted environment is not 0",
    ),
    "restart of all": (
        {"env": memory(), "on_restart": only_while_asked},
        "toy:broken: a restart of environment 0 changes .obs of the others",
    ),
    "restart of all states": (
        {"env": memory(), "on_restart": forgets_the_others},
        "toy:broken: a restart of no environment changes [0]",
    ),
    "dice": (
        {"on_step": edit(reward=lambda s, ts: ts.reward + jnp.float32(dice.random()))},
        "toy:broken: step gives a different program each time it is traced: it must be pure",
    ),
    "dice as an array": (
        {"on_reset": edit(obs=lambda s, ts: ts.obs + jnp.asarray(dice.random((3, 2, 1)), jnp.float32))},
        "toy:broken: reset gives a different program each time it is traced: it must be pure",
    ),
    "a call out": (
        {
            "on_step": edit(
                reward=lambda s, ts: jax.pure_callback(calls_out, ts.reward, ts.reward, vmap_method="expand_dims")
            )
        },
        "toy:broken: the same step returns a different [1].reward the second time: it must be pure",
    ),
    "other under vmap": (
        {"env": memory(), "on_step": edit(obs=lambda s, ts: unmapped(ts.obs))},
        "toy:broken: under vmap and scan, the same step returns a different [1].obs",
    ),
    "not under vmap": (
        {"env": memory(), "on_step": edit(obs=lambda s, ts: unmappable(ts.obs))},
        "toy:broken: fails under vmap and scan (NotImplementedError: no rule (test_check.py:",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_each_fault_is_named_in_one_line(fault):
    hooks, text = BROKEN[fault]
    with pytest.raises(ConfigError) as caught:
        check_env(Broken(**hooks))
    assert str(caught.value).startswith(text), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_restart_that_changes_other_environments_is_found_in_their_next_step():
    def leaks(state, timestep, where, fresh):
        state, new = select_envs(where, fresh, (state, timestep))
        return state._replace(t=jnp.where(where.any(), 0, state.t)), new

    with pytest.raises(
        ConfigError, match="after a restart of environment 0, a step returns a different .obs for the others"
    ):
        check_env(Broken(env=memory(), on_restart=leaks))


def test_two_environments_are_needed():
    with pytest.raises(ConfigError, match="num_envs is 1, give at least 2"):
        check_env(time_limit(), num_envs=1)


def test_a_short_check_leaves_the_horizon_alone():
    env = Broken(spec={"horizon": 100}, on_step=edit(truncated=lambda s, ts: s.t > 99))
    check_env(env, num_envs=2, steps=3)


class Drift:
    """A continuous environment of one agent, whose second action dimension is padding."""

    spec = EnvSpec("drift", 1, 2, 2, ActionSpec(dim=2, low=-0.5, high=0.5, mask=((True, False),)), horizon=3)

    def reset(self, key):
        shown = time_limit().env.reset(key)[1]
        return self._show((jax.random.normal(key, (2,), jnp.float32), jnp.int32(0)), shown)

    def step(self, key, state, action):
        place, t = state
        shown = time_limit().env.reset(key)[1]
        return self._show((place + action[0], jnp.minimum(t + 1, 3)), shown)

    def _show(self, state, shown):
        place, t = state
        ones = jnp.ones((1,), bool)
        avail = jnp.zeros((1, 0), bool)
        return state, shown._replace(obs=place[None], state=place, avail=avail, alive=ones, truncated=t == 3)


def test_continuous_environments_pass():
    check_env(vectorize(Drift()))


def test_random_actions_are_legal_and_uniform():
    # avail {1, 2} of 3: 2000 draws, a share of 1 within 0.05 of a half (4.5 standard deviations of 0.011)
    avail = jnp.tile(jnp.array([False, True, True]), (1000, 2, 1))
    spec = death().spec
    action = np.asarray(random_actions(jax.random.key(0), spec, avail))
    assert action.dtype == np.int32 and set(np.unique(action)) == {1, 2}
    assert abs((action == 1).mean() - 0.5) < 0.05
    action = np.asarray(random_actions(jax.random.key(0), Drift.spec, jnp.zeros((1000, 1, 0), bool)))
    assert action.shape == (1000, 1, 2)
    assert (action[..., 1] == 0).all()
    assert -0.5 <= action.min() < -0.45 and 0.45 < action.max() <= 0.5
