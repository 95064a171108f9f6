"""A net whose blocks are computed twice is bitwise the net whose blocks are kept: families × modes × ways to call."""

from __future__ import annotations

import pytest
import torch
from families import FAMILIES, different, plain, trained, ways
from torch.utils.checkpoint import checkpoint as torch_checkpoint

from gradpath.memory import checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:.torch.cpu.amp.autocast:FutureWarning")  # torch 2.4's own

MODES: dict[str, dict] = {
    "float32": {},
    "autocast": {"autocast": True},
    "accumulated": {"accumulate": 2},
    "frozen": {"frozen": True},
    "evaluation": {"training": False},
    "input gradient": {"input_gradient": True},
    "all": {"autocast": True, "accumulate": 2, "frozen": True, "input_gradient": True},
}


def torchs(block, *inputs):
    return torch_checkpoint(block, *inputs, use_reentrant=False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_gradients_buffers_weights_and_random_state_are_bitwise_equal(family, mode):
    expected = trained(family, plain, **MODES[mode])
    assert different(trained(family, checkpoint, **MODES[mode]), expected) == []
    assert any("gradient 2" in name and expected[name].any() for name in expected)


@pytest.mark.parametrize("way", ways(checkpoint))
@pytest.mark.parametrize("family", ["batch norm", "dropout", "spectral norm", "dense layers"])
def test_however_the_block_is_given(family, way):
    expected = trained(family, ways(plain)[way])
    assert different(trained(family, ways(checkpoint)[way]), expected) == []


WRONG_IN_TORCH = {
    "batch norm": "buffer",
    "cumulative batch norm": "buffer",
    "instance norm": "buffer",
    "spectral norm": "gradient",
    "codebook": "gradient",
    "reassigned buffer": "gradient",
    "dense layers": "buffer",
}


@pytest.mark.parametrize("family", WRONG_IN_TORCH)
def test_torchs_own_is_not_equal(family):
    """So that the tests above can be seen to tell the two apart."""
    wrong = different(trained(family, torchs), trained(family, plain))
    assert any(name.startswith(WRONG_IN_TORCH[family]) for name in wrong), wrong


def test_torchs_own_updates_batch_norm_twice_and_ours_once():
    x = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for call, updates in ((plain, 1), (torchs, 2), (checkpoint, 1)):
        block = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.ReLU())
        call(block, x).sum().backward()
        assert block[0].num_batches_tracked == updates
        mean = x.detach().mean((0, 2, 3)) * (1 - 0.9**updates)
        torch.testing.assert_close(block[0].running_mean, mean)
