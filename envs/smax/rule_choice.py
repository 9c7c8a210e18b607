"""The rules that an environment plays by: fixed ones, or ones that are drawn for each episode."""

import jax
import jax.numpy as jnp

from envs.errors import ConfigError
from envs.smax.battle import Rules, default_rules
from envs.smax.rules import PRESETS, draw_all, draw_rules
from envs.smax.rules_file import find_rules


class RuleChoice:
    """A user's choice of rules for a battle of the unit types `kinds` (sorted); see `envs.smax.env.Smax`.

    Raises:
      ConfigError: unknown rules, or an option that is out of range.
    """

    def __init__(self, kinds: tuple[str, ...], rules: Rules | str | None, randomise_rules: bool, randomise: float):
        if isinstance(rules, str):
            rules = find_rules(rules, kinds)
        elif rules is not None and not isinstance(rules, Rules):
            raise ConfigError(f"rules={rules}: give {', '.join(PRESETS)}, or the name of a file that ends in .json")
        if not isinstance(randomise_rules, bool):
            raise ConfigError(f"randomise_rules={randomise_rules}: give True or False")
        if isinstance(randomise, bool) or not 0.0 <= randomise < 1.0:
            raise ConfigError(f"randomise={randomise}: give the share by which numbers vary, 0 <= x < 1")
        if randomise and rules is not None:
            raise ConfigError("randomise also draws the rules: leave out rules")
        self.kinds = kinds
        self.rules = default_rules() if rules is None else rules
        self.randomise = float(randomise)
        self.draws = bool(randomise_rules or randomise)

    def of_episodes(self, key: jax.Array, num_envs: int) -> Rules:
        """The rules of `num_envs` new episodes."""
        if self.randomise:
            return draw_all(key, num_envs, self.kinds, self.randomise)
        if self.draws:
            return draw_rules(key, num_envs)
        rules = jax.tree.map(jnp.asarray, self.rules)
        numbers = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (leaf.shape[0], num_envs)), rules.numbers)
        return rules._replace(numbers=numbers)
