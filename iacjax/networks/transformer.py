"""The Multi-Agent Transformer (Wen et al. 2022): agents are a sequence, the order is that of their numbers.

The encoder turns the observations of all agents into representations and values; in the decoder agent i's action
depends on all representations and on the actions of agents 0 to i - 1. During training all actions are known and the
decoder runs once (`decode`); while acting it runs agent by agent (`decode_next`) and keeps what it has computed.
"""

from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense, layer_norm
from iacjax.networks.initializers import orthogonal

SMALL, RELU_GAIN = 0.01, 2.0**0.5  # scales of the orthogonal weights, those of the official code
OFF = -1e9  # a score whose weight is 0


class Sources(NamedTuple):
    """What agents attend to."""

    key: jax.Array  # f32[..., A, D]
    value: jax.Array  # f32[..., A, D]


class BlockMemory(NamedTuple):
    """What a block of the decoder has computed of the agents so far; later agents' rows are 0."""

    actions: Sources  # of the actions
    mixed: Sources  # of the actions after attention among themselves


class Attention(nn.Module):
    """Scaled dot-product attention over agents, with several heads."""

    dim: int
    heads: int

    def setup(self):
        self.query, self.key, self.value, self.out = (Dense(self.dim, kernel_init=orthogonal(SMALL)) for _ in range(4))

    def sources(self, x: jax.Array) -> Sources:
        """Keys and values of x f32[..., K, D]."""
        return Sources(self.key(x), self.value(x))

    def __call__(self, x: jax.Array, sources: Sources, seen: jax.Array | None) -> jax.Array:
        """What the agents x f32[..., Q, D] find in `sources` f32[..., K, D]: f32[..., Q, D].

        Args:
          seen: bool[Q, K], the sources that each of them may attend to; None: all.
        """
        query, key, value = (self._split(y) for y in (self.query(x), *sources))
        scores = jnp.einsum("...qhd,...khd->...hqk", query, key) * (self.dim // self.heads) ** -0.5
        weights = jax.nn.softmax(scores if seen is None else jnp.where(seen, scores, OFF), -1)
        found = jnp.einsum("...hqk,...khd->...qhd", weights, value)
        return self.out(found.reshape(x.shape))

    def _split(self, x):
        return x.reshape(*x.shape[:-1], self.heads, self.dim // self.heads)


class _Mlp(nn.Module):
    """Dense-GELU-(LayerNorm)-Dense."""

    dim: int
    outputs: int
    norm: bool = False

    @nn.compact
    def __call__(self, x):
        x = nn.gelu(Dense(self.dim, kernel_init=orthogonal(RELU_GAIN))(x))
        x = layer_norm("norm")(x) if self.norm else x
        return Dense(self.outputs, kernel_init=orthogonal(SMALL))(x)


class EncoderBlock(nn.Module):
    """Every agent attends to all agents."""

    dim: int
    heads: int

    def setup(self):
        self.attention, self.mlp = Attention(self.dim, self.heads), _Mlp(self.dim, self.dim)
        self.norms = [layer_norm(f"norm_{k}") for k in range(2)]

    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[..., A, D] -> f32[..., A, D]."""
        x = self.norms[0](x + self.attention(x, self.attention.sources(x), None))
        return self.norms[1](x + self.mlp(x))


class DecoderBlock(nn.Module):
    """Agent i's action attends to those before it, then its representation does; both masks are `seen`."""

    dim: int
    heads: int

    def setup(self):
        self.among_actions, self.to_actions = (Attention(self.dim, self.heads) for _ in range(2))
        self.mlp, self.norms = _Mlp(self.dim, self.dim), [layer_norm(f"norm_{k}") for k in range(3)]

    def __call__(
        self, x: jax.Array, encoded: jax.Array, seen: jax.Array, memory: BlockMemory | None = None, at: jax.Array = 0
    ) -> tuple[jax.Array, BlockMemory]:
        """(f32[..., Q, D], memory): all agents at once without a memory; with one the agent of number `at`, Q = 1.

        Args:
          x: f32[..., Q, D], the shifted actions; encoded: f32[..., Q, D], the representations of the same agents.
          seen: bool[Q, A].
        """
        actions = _written(memory and memory.actions, self.among_actions.sources(x), at)
        x = self.norms[0](x + self.among_actions(x, actions, seen))
        mixed = _written(memory and memory.mixed, self.to_actions.sources(x), at)
        x = self.norms[1](encoded + self.to_actions(encoded, mixed, seen))
        return self.norms[2](x + self.mlp(x)), BlockMemory(actions, mixed)


def _written(memory: Sources | None, new: Sources, at: jax.Array) -> Sources:
    if memory is None:
        return new
    here = (jnp.arange(memory.key.shape[-2]) == at)[:, None]
    return jax.tree.map(lambda old, x: jnp.where(here, x, old), memory, new)


def shifted(actions: jax.Array) -> jax.Array:
    """Agent i reads the action of agent i - 1: f32[..., A, F] -> f32[..., A, F + 1]; agent 0 reads the start token.

    The first feature is 1 in the start token and 0 elsewhere.
    """
    start = start_token(actions.shape[:-2], actions.shape[-1])[..., None, :]
    return jnp.concatenate([start, action_token(actions[..., :-1, :])], -2)


def action_token(action: jax.Array) -> jax.Array:
    """What the next agent reads of an action, f32[..., F] -> f32[..., F + 1]."""
    return jnp.concatenate([jnp.zeros((*action.shape[:-1], 1)), action], -1)


def start_token(lead: tuple[int, ...], features: int) -> jax.Array:
    """What agent 0 reads in place of an action, f32[*lead, features + 1]."""
    return jnp.broadcast_to(jax.nn.one_hot(0, features + 1), (*lead, features + 1))


class Transformer(nn.Module):
    """Encoder and decoder. All agents share the parameters; inputs tell them apart.

    `free_outputs` are more outputs of the decoder, parameters that depend on no input.
    """

    dim: int
    blocks: int
    heads: int
    outputs: int
    free_outputs: int = 0

    def setup(self):
        def embed(features, name):
            return Dense(features, kernel_init=orthogonal(RELU_GAIN), name=name)

        blocks = range(self.blocks)
        self.norm_obs, self.norm_encoder = layer_norm("norm_obs"), layer_norm("norm_encoder")
        self.embed_obs = embed(self.dim, "embed_obs")
        self.encoder = [EncoderBlock(self.dim, self.heads, name=f"encoder_{k}") for k in blocks]
        self.value = _Mlp(self.dim, 1, norm=True, name="value")
        self.embed_action, self.norm_decoder = embed(self.dim, "embed_action"), layer_norm("norm_decoder")
        self.decoder = [DecoderBlock(self.dim, self.heads, name=f"decoder_{k}") for k in blocks]
        self.policy = _Mlp(self.dim, self.outputs, norm=True, name="policy")
        self.free = self.param("free", nn.initializers.zeros, (self.free_outputs,)) if self.free_outputs else None

    def __call__(self, obs: jax.Array, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """obs f32[..., A, O], actions f32[..., A, F] -> (values f32[..., A], outputs f32[..., A, outputs + free])."""
        value, encoded = self.encode(obs)
        return value, self.decode(actions, encoded)

    def encode(self, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """obs f32[..., A, O] -> (values f32[..., A], representations f32[..., A, D])."""
        x = self.norm_encoder(nn.gelu(self.embed_obs(self.norm_obs(obs))))
        for block in self.encoder:
            x = block(x)
        return self.value(x)[..., 0], x

    def decode(self, actions: jax.Array, encoded: jax.Array) -> jax.Array:
        """The outputs of all agents, f32[..., A, outputs + free], given what they did.

        Args:
          actions: f32[..., A, F] features of the actions, the last agent's unused.
          encoded: f32[..., A, D].
        """
        chex.assert_equal_shape_prefix([actions, encoded], encoded.ndim - 1)
        num_agents = encoded.shape[-2]
        x, seen = self._embed(shifted(actions)), jnp.tril(jnp.ones((num_agents, num_agents), bool))
        for block in self.decoder:
            x, _ = block(x, encoded, seen)
        return self._outputs(x)

    def decode_next(
        self, token: jax.Array, encoded: jax.Array, memory: tuple[BlockMemory, ...], agent: jax.Array
    ) -> tuple[jax.Array, tuple[BlockMemory, ...]]:
        """(the outputs of one agent f32[..., outputs + free], the memory for the next).

        Args:
          token: f32[..., F + 1], the action of the agent before it, as `shifted` makes it.
          encoded: f32[..., D], the agent's representation; agent: int32[], its number.
          memory: that of the agents before it, see `memory`.
        """
        x, encoded, kept = self._embed(token[..., None, :]), encoded[..., None, :], []
        seen = (jnp.arange(memory[0].actions.key.shape[-2]) <= agent)[None]
        for block, before in zip(self.decoder, memory, strict=True):
            x, after = block(x, encoded, seen, before, agent)
            kept.append(after)
        return self._outputs(x)[..., 0, :], tuple(kept)

    def memory(self, encoded: jax.Array) -> tuple[BlockMemory, ...]:
        """What `decode_next` begins with, for representations f32[..., A, D]."""
        nothing = Sources(jnp.zeros_like(encoded), jnp.zeros_like(encoded))
        return (BlockMemory(nothing, nothing),) * self.blocks

    def _embed(self, tokens):
        return self.norm_decoder(nn.gelu(self.embed_action(tokens)))

    def _outputs(self, x):
        out = self.policy(x)
        if self.free is None:
            return out
        return jnp.concatenate([out, jnp.broadcast_to(self.free, (*out.shape[:-1], self.free_outputs))], -1)
