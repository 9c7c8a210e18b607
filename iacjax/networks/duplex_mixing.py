"""QPLEX's duplex duelling mixer: a team value whose best joint action is that of the agents."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.mixing import Hypernet

LEAST = 1e-10  # weights stay positive


def _positive(x: jax.Array) -> jax.Array:
    """|x| + LEAST, with the slope 1 at x = 0, where that of `jnp.abs` is 0.

    At a state of zeros all weights start at 0, since biases do; they would stay there, and the agents learn nothing.
    """
    return jnp.where(x >= 0.0, x, -x) + LEAST


class DuplexMixer(nn.Module):
    """Q_tot = sum_i [w_i(s) Q_i + b_i(s)] + sum_i (lambda_i(s, u) - 1) A_i, A_i = w_i(s) (Q_i - V_i) a constant.

    With the transformed V_i^T = w_i V_i + b_i this is V_tot + A_tot of QPLEX (Wang et al. 2021), its transformation and
    its duelling mixing network in one: sum_i V_i^T + sum_i lambda_i A_i. The weights w_i and lambda_i are positive and
    A_i <= 0, so Q_tot is greatest where each A_i is 0, and every joint value with this property can be reached, as the
    paper proves. lambda_i is the sum over the attention's kernels k of |key_k(s)| sigmoid(agent_ki(s))
    sigmoid(action_ki(s, u)). As in the authors' code with `is_stop_gradient`, A_i is a constant beside lambda_i: agents
    and w_i learn from the first sum alone.
    """

    num_actions: int
    kernels: int = 4
    hyper_dim: int = 64
    hyper_layers: int = 2  # of the networks that make w and b
    advantage_dim: int = 64
    advantage_layers: int = 1  # of the networks that make lambda
    init_scale: float = 1.0  # of the initial weights that the state makes; small where states are large numbers

    @nn.compact
    def __call__(self, q: jax.Array, best: jax.Array, action: jax.Array, state: jax.Array) -> jax.Array:
        """The team's value f32[...] of a joint action.

        Args:
          q: f32[..., A], Q_i of the action; best: f32[..., A], V_i = max Q_i over the legal ones.
          action: int32[..., A]; state: f32[..., X]. All leading axes are the same.
        """
        chex.assert_equal_shape([q, best, action])
        chex.assert_equal_shape_prefix([q, state], q.ndim - 1)
        chex.assert_type([q, best, action, state], [float, float, int, float])
        agents = q.shape[-1]
        w, b = (
            Hypernet(self.hyper_dim, self.hyper_layers, agents, scale=self.init_scale, name=name)(state)
            for name in ("w", "b")
        )
        w = _positive(w)
        advantage = jax.lax.stop_gradient(w * (q - best))
        return (w * q + b).sum(-1) + ((self._importance(action, state) - 1.0) * advantage).sum(-1)

    def _importance(self, action: jax.Array, state: jax.Array) -> jax.Array:
        """lambda f32[..., A]."""
        agents, lead = action.shape[-1], action.shape[:-1]
        joint = jax.nn.one_hot(action, self.num_actions).reshape(*lead, -1)
        joint = jnp.concatenate([state, joint], -1)

        def made(name, inputs, out):
            net = Hypernet(self.advantage_dim, self.advantage_layers, out, scale=self.init_scale, name=name)
            return net(inputs).reshape(*lead, self.kernels, -1)

        key = _positive(made("key", state, self.kernels))
        of_agent = nn.sigmoid(made("agent", state, self.kernels * agents))
        of_action = nn.sigmoid(made("action", joint, self.kernels * agents))
        return (key * of_agent * of_action).sum(-2)
