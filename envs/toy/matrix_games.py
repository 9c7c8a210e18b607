"""One-step games of two agents: the IAC paper's matrix game (tables 1 to 4) and Simple World (section 5.1), and the
continuous matrix game of FACMAC's authors."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from envs.base import ActionSpec, ConfigError, Environment, EnvSpec, vectorize
from envs.toy.probes import Toy

PAYOFF = ((8.0, -12.0, -12.0), (-12.0, 0.0, 0.0), (-12.0, 0.0, 0.0))  # table 1 (QTRAN's matrix game)
MEANS, VARIANCES = ((4.0, 3.0), (-6.0, -6.0)), (5.0, 2.0)  # section 5.1


def _numbers(name: str, option: str, values) -> tuple[float, ...]:
    """`values` as a tuple of finite floats. Raises ConfigError, naming the option, if that is not possible."""
    try:
        numbers = tuple(float(x) for x in values)
    except (TypeError, ValueError):
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise ConfigError(f"{name}: {option} must be a list of finite numbers, not {values!r}")
    return numbers


def matrix_game(payoff: Sequence[Sequence[float]] = PAYOFF) -> Environment:
    """Two agents, one step, reward `payoff[a_0][a_1]`. Observations are a constant 1.

    In the default payoff (table 1) the best joint action is worth 8, but a deviation of one agent from it costs 12; a
    safe joint action is worth 0.

    Raises:
      ConfigError: the payoff is not a square table of at least 2 x 2 numbers.
    """
    rows = payoff if isinstance(payoff, Sequence) and not isinstance(payoff, str) else [payoff]
    table = tuple(_numbers("matrix_game", "the rows of payoff", row) for row in rows)
    size = len(table)
    if size < 2 or any(len(row) != size for row in table):
        raise ConfigError(f"matrix_game: payoff must be square, at least 2 x 2; its rows have {[*map(len, table)]}")
    return vectorize(
        Toy(
            spec=EnvSpec("matrix_game", 2, 1, 2, ActionSpec(num_actions=size), horizon=1, state_is_obs=True),
            observe=lambda t, hidden: jnp.ones((2, 1)),
            reward=lambda t, hidden, action: jnp.asarray(table, jnp.float32)[action[0], action[1]],
        )
    )


def simple_world_reward(
    actions: jax.Array,
    means: Sequence[Sequence[float]] = MEANS,
    variances: Sequence[float] = VARIANCES,
    weights: Sequence[float] | None = None,
    peak: float = 1.0,
) -> jax.Array:
    """Simple World's reward f32[...] of the joint actions `actions` f32[..., 2].

    The paper gives two Gaussians with means [4, 3] and [-6, -6] and variances 5 and 2 that "denote the reward
    distributions", but no scale. Here the reward is the sum of their densities (the same variance in both directions,
    `weights` 1 each), scaled so that the higher of the two peaks is `peak`. The narrow peak at [-6, -6] is the best,
    worth 1. The wide peak, worth 2 / 5 = 0.4, is a local optimum on the other side of the start, so the task is about
    exploration. Without the scale the best reward would be 1 / (4 pi) = 0.08, and entropy at the paper's temperature
    of 0.02 would outweigh it over so wide a range of actions.
    """
    weights = (1.0,) * len(variances) if weights is None else weights
    heights = [w / v for w, v in zip(weights, variances, strict=True)]  # times 1 / (2 pi), the same for all
    total = jnp.zeros(actions.shape[:-1], jnp.float32)
    for height, variance, mean in zip(heights, variances, means, strict=True):
        distance2 = ((actions - jnp.asarray(mean, jnp.float32)) ** 2).sum(-1)
        total += height * jnp.exp(-distance2 / (2.0 * variance))
    return (peak / max(heights) * total).astype(jnp.float32)


def simple_world(
    means: Sequence[Sequence[float]] = MEANS,
    variances: Sequence[float] = VARIANCES,
    weights: Sequence[float] | None = None,
    peak: float = 1.0,
    low: float = -10.0,
    high: float = 10.0,
) -> Environment:
    """Two agents, one step, one continuous action each in [`low`, `high`] (clipped), reward `simple_world_reward`.

    Observations are a constant 0, so a policy without hidden layers can only learn its bias, the "one parameter" of
    appendix B. The state is a constant 1: a mixer whose weights are |W s|, as QMIX's are at the start, would be 0 at a
    state of 0, and stay 0.

    Raises:
      ConfigError: means, variances and weights differ in number, or a number is out of range.
    """
    means = tuple(_numbers("simple_world", "each of means", mean) for mean in _rows(means))
    variances = _numbers("simple_world", "variances", variances)
    weights = _numbers("simple_world", "weights", (1.0,) * len(variances) if weights is None else weights)
    low, high, peak = _numbers("simple_world", "low, high and peak", (low, high, peak))
    if not len(means) == len(variances) == len(weights) >= 1 or any(len(mean) != 2 for mean in means):
        raise ConfigError("simple_world: give as many means (of two numbers each) as variances and weights")
    if min(variances) <= 0 or min(weights) <= 0 or peak <= 0:
        raise ConfigError("simple_world: variances, weights and peak must be more than 0")
    if low >= high:
        raise ConfigError(f"simple_world: low {low} is not below high {high}")

    def reward(t, hidden, action):
        return simple_world_reward(jnp.clip(action[:, 0], low, high), means, variances, weights, peak)

    action = ActionSpec(dim=1, low=low, high=high)
    spec = EnvSpec("simple_world", 2, 1, 1, action, horizon=1)
    return vectorize(Toy(spec=spec, observe=lambda t, hidden: jnp.zeros((2, 1)), reward=reward, state=(1.0,)))


def _rows(means):
    if not isinstance(means, Sequence) or isinstance(means, str):
        raise ConfigError(f"simple_world: means must be a list of pairs of numbers, not {means!r}")
    return means


def ridge_reward(actions: jax.Array) -> jax.Array:
    """The reward f32[...] of the joint actions (x, y) f32[..., 2] in FACMAC's continuous matrix game.

    -0.1 (x^2 + y^2), and where x > 0, y > 0 and d = |x - y| < 0.01 also x + y + max(0.1, 1e-5 / (d + 1e-5)).
    """
    x, y = actions[..., 0], actions[..., 1]
    distance = jnp.abs(x - y)
    on_ridge = (x > 0) & (y > 0) & (distance < 0.01)
    bonus = x + y + jnp.maximum(0.1, 1e-5 / (distance + 1e-5))
    return -0.1 * (x**2 + y**2) + jnp.where(on_ridge, bonus, 0.0)


def continuous_matrix_game() -> Environment:
    """FACMAC's continuous matrix game (Peng et al. 2021, and the `cts_matrix_game` of github.com/oxwhirl/facmac).

    Two agents, one step, one action each in [-1, 1], reward `ridge_reward`: the start, (0, 0), is the best but for a
    narrow ridge along x = y > 0, which rises from 1 to 2.8 at (1, 1). An agent that leaves it alone loses all of it, so
    that only steps of both at once lead upwards. Observations and state are five ones.
    """
    action = ActionSpec(dim=1, low=-1.0, high=1.0)
    return vectorize(
        Toy(
            spec=EnvSpec("continuous_matrix_game", 2, 5, 5, action, horizon=1),
            observe=lambda t, hidden: jnp.ones((2, 5)),
            reward=lambda t, hidden, action: ridge_reward(jnp.clip(action[:, 0], -1.0, 1.0)).astype(jnp.float32),
            state=(1.0,) * 5,
        )
    )
