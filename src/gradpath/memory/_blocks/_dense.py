"""Dense blocks in a chain: their layers become one block, with what follows it."""

from __future__ import annotations

import dataclasses
import itertools

from gradpath.memory._blocks._chain import Chain
from gradpath.memory._running._dense_stage import dense_size, dense_stage


def with_dense_stages(chain: Chain) -> Chain:
    """The chain with each dense block, and the block behind it, joined to one. What runs in a row still does."""
    cuts, at = [0], 0
    while at < len(chain.blocks):
        at += _stage_length(chain, at)
        cuts.append(at)
    spans = [slice(*pair) for pair in itertools.pairwise(cuts)]
    return dataclasses.replace(
        chain,
        blocks=tuple(tuple(itertools.chain(*chain.blocks[span])) for span in spans),
        names=tuple("+".join(chain.names[span]) for span in spans),
        layouts=tuple(chain.layouts[at] for at in cuts),
    )


def _stage_length(chain: Chain, at: int) -> int:
    """How many blocks from this one on are one stage: 1 where no dense block begins here."""
    if not dense_size([block[0] for block in chain.blocks[at : at + 2]]):
        return 1
    modules = [block[0] for block in itertools.takewhile(lambda block: len(block) == 1, chain.blocks[at:])]
    size = dense_size(modules)
    if not size or dense_stage(modules[:size]) is None:
        return 1
    return min(size + 1, len(chain.blocks) - at)
