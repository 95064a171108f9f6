"""Can I train so deep? One line of arithmetic for chains of equal blocks, and the exact program behind it.

Memory is counted in units of a block's input; a is what a whole tape of a block takes (a pre-activation bottleneck: 3
under plain autograd, 1.5 lean); f and b are the seconds of a forward and a backward. Nothing else is counted: not the
memory of operations while they run, parameters or statistics.
"""

from __future__ import annotations

from math import comb, factorial

import numpy as np
from numpy.typing import NDArray

from gradpath.errors import UserError


def memory_for_depth(blocks: int, tape: float, sweeps: int) -> float:
    """Units in which so many blocks train with at most `sweeps` extra forwards: ((t+1)! · a · L)^(1/(t+1)).

    A fit to `extra_forwards`, shaped like the binomial bound of Griewank & Walther 2000 (`longest_chain`) with an order
    gained by tapes that are kept whole (Beaumont et al. 2019). t = 1, sqrt(2aL), is the 2 · sqrt(aL) of Chen et al.
    2016 with segments that get shorter. Off by at most 2 % for t = 1, 4 % for t = 2, 13 % for t = 3 (333 to 5000
    blocks with a = 2, 1000 with a = 4); for t = 5 it asks for 8 to 26 % too much. Raises UserError below 0.
    """
    _check(blocks=blocks, tape=tape, sweeps=sweeps)
    return float((factorial(sweeps + 1) * tape * blocks) ** (1 / (sweeps + 1)))


def depth_for_memory(units: float, tape: float, sweeps: int) -> int:
    """How many blocks train in so many units with at most `sweeps` extra forwards: `memory_for_depth` inverted."""
    _check(units=units, tape=tape, sweeps=sweeps)
    return int(units ** (sweeps + 1) / (factorial(sweeps + 1) * tape) + 1e-9)


def time_ratio(sweeps: float, forward_share: float = 1 / 3) -> float:
    """Seconds of a step over those of keeping everything: 1 + t · f/(f + b); a backward takes about two forwards."""
    return 1 + sweeps * forward_share


def longest_chain(checkpoints: int, sweeps: int) -> int:
    """Blocks that can be run back through with c inputs held, each run forward at most t times beside the taped one:
    C(c + t, c) (Griewank & Walther 2000, revolve, ACM TOMS algorithm 799). The chain's input counts as one of c."""
    return comb(checkpoints + sweeps, checkpoints)


def fewest_forwards(blocks: int, checkpoints: int) -> int:
    """Forwards that revolve needs with c inputs held: t·l − C(c + t, c + 1), t the least with l ≤ C(c + t, c)."""
    _check(blocks=blocks, checkpoints=checkpoints)
    sweeps = 0
    while longest_chain(checkpoints, sweeps) < blocks:
        sweeps += 1
    return sweeps * blocks - comb(checkpoints + sweeps, checkpoints + 1)


def extra_forwards(blocks: int, units: int, tape: int) -> NDArray[np.float64]:
    """The exact program for equal blocks: E[l, m], the fewest extra forwards of a chain of l in m units, inf for none.

        E[1, m] = 0 from m = a on
        E[l, m] = min( E[l−1, m−a],  min over 0 < j < l of  j + E[l−j, m−1] + E[j, m] )

    rotor's recursion (Beaumont et al. 2019, arXiv 1911.13214), homogeneous. The chain's input is not counted.
    """
    _check(blocks=blocks, units=units, tape=tape)
    found = np.full((blocks + 1, units + 1), np.inf)
    held = np.full_like(found, np.inf)  # found with one unit less
    taken = np.arange(blocks)[:, None]
    found[1, tape:] = 0
    held[1, tape + 1 :] = 0
    for length in range(2, blocks + 1):
        row = (taken[1:length] + held[length - 1 : 0 : -1] + found[1:length]).min(0)
        row[tape:] = np.minimum(row[tape:], found[length - 1, : units + 1 - tape])
        found[length] = row
        held[length, 1:] = row[:-1]
    return found


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        if value < 0 or (value == 0 and name != "sweeps"):
            raise UserError(f"{name} = {value}: give a number above 0")
