"""What updates learn from: one store a file."""

from iacjax.buffers.reward_moments import normalise_rewards
from iacjax.buffers.rollout import rollout_buffer
from iacjax.buffers.sequences import sequence_buffer
from iacjax.buffers.transitions import transition_buffer

__all__ = ["normalise_rewards", "rollout_buffer", "sequence_buffer", "transition_buffer"]
