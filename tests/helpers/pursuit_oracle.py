"""SMACv2's step in plain Python, one unit at a time: the slow twin of `envs.smax.dynamics.advance_drawn`.

Written from section 7 of the SMACv2 specification; the loop itself is that of `battle_oracle`.
"""

import copy

from tests.helpers.battle_oracle import NOBODY, RESTING, distance, game_loop


def give_orders(units, speaks):
    """Enemies whose agent is dead are idle. Where the script `speaks`, each idle one is sent after the nearest agent.

    An order that the weapon cannot carry out is refused; a medivac has none.
    """
    agents = [n for n, unit in enumerate(units) if unit.side == 0 and unit.alive]
    for me in units:
        if me.side == 0 or not me.alive:
            continue
        if me.prey not in agents:
            me.prey = NOBODY
        if me.prey == NOBODY and speaks and agents:
            nearest = min(agents, key=lambda n: distance(me, units[n]))
            if me.kind.can_hit(units[nearest].kind):
                me.prey = nearest


def step(units, orders, jitter, tick, rules, ground):
    """Advances `units` by eight loops, in place; the script speaks in loop `tick` of them."""
    for unit, order in zip(units, orders, strict=False):  # agents come first
        if order["target"] != unit.target or rules["restart_windup"] >= 0.5:
            unit.windup = RESTING
    for loop in range(8):
        give_orders(units, loop == tick)
        game_loop(units, copy.deepcopy(units), orders, jitter, rules, ground, None)
