"""A policy for SMAC's interface: attack the first enemy in reach, else stop."""

import numpy as np

STOP, FIRST_TARGET = 1, 6


def attack_first(avail):
    """Action ids [..., A] from avail [..., A, U], arrays or lists; a list for a list. All agents shoot at one enemy."""
    legal = np.asarray(avail).astype(bool)
    shots = legal[..., FIRST_TARGET:]
    otherwise = np.where(legal[..., STOP], STOP, legal.argmax(-1))
    actions = np.where(shots.any(-1), FIRST_TARGET + shots.argmax(-1), otherwise)
    return actions.tolist() if isinstance(avail, list) else actions
