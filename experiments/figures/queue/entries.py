"""What `python -m experiments.reproduce all` trains, the most decisive first. Data only.

An entry is the command line of a figure: its budget says the methods, maps, settings, seeds and env steps, and options
change them. The figure makes the runs, in its own order (map by map), and `--list` shows each of them.
"""

from typing import NamedTuple


class QueueEntry(NamedTuple):
    """A part of the queue."""

    words: str  # of the command line after `python -m experiments.reproduce`
    why: str  # what it shows

    @property
    def target(self) -> str:
        """The figure's name."""
        return self.words.split()[0]


_FIG3 = "--maps MMM 3s5z 8m 2s3z --methods aiir_mix liir coma qmix qtran"
_PENDULUMS = " ".join(f"multi_pendulum_shaped:{n}" for n in (2, 3, 5, 8))
QUEUES: dict[str, tuple[QueueEntry, ...]] = {
    "paper": (
        QueueEntry("aiir/sparse --budget full", "intrinsic rewards where the team's reward is sparse or semi-sparse"),
        QueueEntry("aiir/fig4 --budget paper", "AIIR-MIX and its ablations by the published settings"),
        QueueEntry(
            "iac/fig4 --budget tuned", "eight methods on three pendulums, predator-prey and its partial version"
        ),
        QueueEntry("iac/fig5 --budget tuned", "IAC's covariance matrix over training"),
        QueueEntry(f"iac/fig6 --budget tuned --envs {_PENDULUMS}", "IAC and SIAQ for 2, 3, 5 and 8 pendulums"),
        QueueEntry("iac/fig7 --budget tuned", "steps saved over DDPG-MIX: figure 4's runs"),
        QueueEntry("aiir/why --budget small", "why AIIR-MIX is slow on 8m: one setting changed at a time"),
        QueueEntry(f"aiir/fig3 --budget paper {_FIG3}", "five methods on four maps by the published settings"),
        QueueEntry(f"aiir/fig3 --budget tuned {_FIG3}", "the same by tuned settings"),
        QueueEntry("smac/maps --budget small", "MAPPO and QMIX on the hard maps of SMAC and on SMACv2"),
    ),
}
