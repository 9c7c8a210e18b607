"""Walls for one unit at a time: the slow twin of `envs.smax.walls`."""

import math


def keep_in(me, old, terrain):
    """Moves `me`, which was at `old` before this loop, off the blocked cells."""
    if me.kind.air:
        me.x, me.y = min(max(me.x, 0.0), 32.0), min(max(me.y, 0.0), 32.0)
    elif terrain.box:
        low_x, high_x, low_y, high_y = terrain.box
        me.x = min(max(me.x, low_x + me.kind.inner), high_x - me.kind.inner)
        me.y = min(max(me.y, low_y + me.kind.inner), high_y - me.kind.inner)
    else:
        grid = terrain.crossable if me.kind.plane == 2 else terrain.walkable
        _keep_off(me, old, lambda i, j: not (0 <= i < 32 and 0 <= j < 32 and grid[i, j]), grid)


def _keep_off(me, old, blocked, grid):
    i, j = (int(min(max(value, 0.0), 31.0)) for value in (old.x, old.y))
    if blocked(i, j):
        cells = [(k, m) for k in range(32) for m in range(32) if grid[k, m]]
        k, m = min(cells, key=lambda cell: (cell[0] - i) ** 2 + (cell[1] - j) ** 2)
        me.x, me.y = k + 0.5, m + 0.5
        return
    me.x = min(max(me.x, old.x - 0.4), old.x + 0.4)
    me.y = min(max(me.y, old.y - 0.4), old.y + 0.4)
    inner = min(me.kind.inner, 0.5)
    dx, dy = (1 if me.x > i + 0.5 else -1), (1 if me.y > j + 0.5 else -1)
    corner_x, corner_y = i + (dx > 0), j + (dy > 0)
    edge_x, edge_y = blocked(i + dx, j), blocked(i, j + dy)
    if edge_x:
        me.x = corner_x + dx * min(dx * (me.x - corner_x), -inner)
    if edge_y:
        me.y = corner_y + dy * min(dy * (me.y - corner_y), -inner)
    if blocked(i + dx, j + dy) and not edge_x and not edge_y:
        _round(me, corner_x, corner_y, dx, dy, inner)


def _round(me, corner_x, corner_y, dx, dy, inner):
    """Out of the quarter plane that begins at a corner and extends along (dx, dy)."""
    into_x, into_y = dx * (me.x - corner_x), dy * (me.y - corner_y)
    if into_x >= 0 and into_y >= 0:
        if into_x < into_y:
            me.x = corner_x - dx * inner
        else:
            me.y = corner_y - dy * inner
        return
    out_x, out_y = min(into_x, 0.0), min(into_y, 0.0)
    gap = math.hypot(out_x, out_y)
    if gap < inner:
        me.x += dx * out_x / gap * (inner - gap)
        me.y += dy * out_y / gap * (inner - gap)
