"""Replay buffers: the newest rollout, transitions, sequences; each is a `ReplayBuffer` of pure functions."""

from iacjax.buffers.reward_moments import normalise_rewards
from iacjax.buffers.rollout import rollout_buffer
from iacjax.buffers.sequences import sequence_buffer
from iacjax.buffers.transitions import transition_buffer

__all__ = ["normalise_rewards", "rollout_buffer", "sequence_buffer", "transition_buffer"]
