"""The loop against bare PyTorch, and against itself cut in two."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradpath as gp
from gradpath.record import Recipe
from gradpath.training import EpochDone, Progress
from gradpath.training._batches import Batch, Batches
from gradpath.training._loop import parts
from gradpath.training._schedule import learning_rate
from tiny_training import NHWC, PLAIN, tiny_images, tiny_loop, tiny_net

EVERYTHING = Recipe(
    epochs=3, batch_size=8, augment="crop-flip", flip="alternating", crop_padding=1, mixup=0.4, cutmix=0.7,
    label_smoothing=0.1, ema=0.9, lookahead=2, clip_norm=0.5, weight_decay_on="weights", accumulate=2,
)  # fmt: skip


def weights(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def same(a: Any, b: Any) -> bool:
    """Bit by bit, but for seconds."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a if key != "seconds")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("execution", [PLAIN, NHWC], ids=["nchw", "nhwc"])
def test_the_weights_are_those_of_a_bare_pytorch_loop(execution):
    recipe = Recipe(epochs=2, batch_size=8, learning_rate=0.1, augment="crop-flip", weight_decay=0.01)
    net, bare, images = tiny_net(), tiny_net(), tiny_images()
    outcome = tiny_loop(net, recipe, execution).run()
    batches = Batches(images.info, torch.device("cpu"), torch.contiguous_format, 5, recipe)
    sgd = torch.optim.SGD(bare.parameters(), 0.1, 0.9, weight_decay=0.01, nesterov=True, foreach=False)
    losses = []
    for step in range(10):
        index = batches.order(40, 8, 1 + step // 5)[step % 5]
        batch = batches.make(images, index, step, 1 + step // 5)
        sgd.param_groups[0]["lr"] = learning_rate(recipe, step, 10)
        loss = F.cross_entropy(bare(batch.inputs), batch.labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(float(loss.detach()))
    for name, tensor in bare.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)
    assert outcome.epochs[1].train_loss == pytest.approx(sum(losses[5:]) / 5, rel=1e-5)
    bare.eval()
    right = (bare(batches.normalise(images.test_images)).argmax(1) == images.test_labels).float().mean()
    assert outcome.epochs[1].test_accuracy == pytest.approx(float(right))


def test_a_run_cut_anywhere_and_restored_is_the_same_to_the_bit():
    whole = tiny_loop(tiny_net(dropout=0.5), EVERYTHING, NHWC)
    states: list[dict[str, Any]] = []
    whole.after_step = lambda loop: states.append(copy.deepcopy(loop.state()))
    whole.run()
    end = whole.state()
    assert len(states) == 15
    assert [state["epoch"] for state in states] == [1] * 4 + [2] * 5 + [3] * 5 + [4]
    for cut in (2, 9, 14):
        again = tiny_loop(tiny_net(dropout=0.5), EVERYTHING, NHWC)
        again.restore(copy.deepcopy(states[cut]))
        again.run()
        assert same(again.state(), end), cut


def test_an_interruption_before_the_epoch_is_closed_loses_nothing():
    recipe = Recipe(epochs=2, batch_size=8)
    whole = tiny_loop(tiny_net(), recipe)
    whole.run()

    def interrupt(event: object) -> None:
        if isinstance(event, Progress) and event.step == 5:
            raise KeyboardInterrupt

    cut = tiny_loop(tiny_net(), recipe, listener=interrupt)
    assert cut.run().interrupted and cut.outcome.epochs == [] and cut.outcome.steps == 5
    again = tiny_loop(tiny_net(), recipe)
    again.restore(cut.state())
    again.run()
    assert same(again.state(), whole.state()) and len(again.outcome.epochs) == 2 and not again.outcome.interrupted


def test_the_global_generator_neither_matters_nor_moves():
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        net = tiny_net(dropout=0.5)
        tiny_loop(net, Recipe(epochs=1, batch_size=8)).run()
        assert torch.equal(torch.get_rng_state(), before)
        found.append(weights(net))
    assert same(*found)
    other = tiny_net(dropout=0.5)
    tiny_loop(other, Recipe(epochs=1, batch_size=8), seed=6).run()
    assert not same(found[0], weights(other))


def test_parts_of_a_batch_add_up_to_the_whole():
    nets = [tiny_net(norm=False) for _ in range(2)]
    for net, accumulate in zip(nets, (1, 3), strict=True):
        tiny_loop(net, Recipe(epochs=1, batch_size=10, mixup=1.0, accumulate=accumulate)).run()
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    assert parts(10, 3) == [slice(0, 3), slice(3, 6), slice(6, 10)]
    assert parts(10, 2, 1, 2) == [slice(5, 7), slice(7, 10)] and parts(1, 2) == [slice(0, 1)]


def test_processes_share_a_batch():
    index = torch.arange(12)
    recipe = Recipe(epochs=1, batch_size=12, cutmix=1.0, augment="crop-flip")
    gradients, losses = [], []
    for share in ((0, 1), (0, 3), (1, 3), (2, 3)):
        net = tiny_net(norm=False)
        loop = tiny_loop(net, recipe)
        loop.share = share
        losses.append(float(loop._passes(index, 0)[0]))
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters()]))  # type: ignore[union-attr]
    torch.testing.assert_close(sum(gradients[1:]) / 3, gradients[0], rtol=1e-5, atol=1e-7)
    assert sum(losses[1:]) == pytest.approx(losses[0], rel=1e-5)


def test_images_read_on_demand_are_told_what_will_be_asked_for():
    class Lazy(torch.Tensor):
        pass

    images, asked = tiny_images(), []
    lazy = images.train_images.as_subclass(Lazy)
    lazy.prefetch = lambda order: asked.append(order.tolist())  # type: ignore[attr-defined]
    object.__setattr__(images, "train_images", lazy)
    loop = tiny_loop(tiny_net(), Recipe(epochs=2, batch_size=8), images=images)
    loop.run(limit_steps=3)
    loop.run(limit_steps=5)
    order = loop.batches.order(40, 8, 1).tolist()
    assert asked == [order, order[3:]]


def test_a_recipe_in_steps_ends_within_an_epoch():
    news: list[Any] = []
    loop = tiny_loop(tiny_net(), Recipe(epochs=1, steps=7, batch_size=8), listener=news.append)
    outcome = loop.run()
    assert outcome.steps == 7 and len(outcome.epochs) == 2
    assert [event.number for event in news if isinstance(event, EpochDone)] == [1, 2]
    assert loop.run() is outcome and outcome.steps == 7  # nothing is left to do


def test_the_first_bad_layer_is_named_and_the_weights_stay_finite():
    class Breaks(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / (x * 0) if bool((x > limit).any()) else x

    net = tiny_net(norm=False)
    net[5] = Breaks()
    limit = 3.0
    recipe = Recipe(epochs=20, batch_size=8, learning_rate=3.0, schedule="constant", nesterov=False)
    outcome = tiny_loop(net, recipe).run()
    assert outcome.diverged_at_step is not None and outcome.diverged_at_step > 1
    assert outcome.diverged_in == "5 (output not finite)"
    assert all(p.isfinite().all() for p in net.parameters())


def test_weights_that_are_not_finite_are_named():
    net = tiny_net()
    with torch.no_grad():
        net[4].weight[0, 0, 0, 0] = math.inf  # type: ignore[index, union-attr]
    outcome = tiny_loop(net, Recipe(epochs=1, batch_size=8)).run()
    assert (outcome.diverged_at_step, outcome.diverged_in) == (1, "4 (weight not finite)")


class BreaksTheGradient(nn.Module):
    """Hands on what it gets; in some of its calls (from 0) its gradient is not finite."""

    def __init__(self, *bad: int) -> None:
        super().__init__()
        self.bad, self.calls = bad, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + (x * 0).abs().sqrt() if self.training and self.calls - 1 in self.bad else x


def test_steps_skipped_for_their_gradient_are_counted_and_go_on_where_restored():
    recipe = Recipe(epochs=3, batch_size=8, clip_norm=1.0)
    net = tiny_net(norm=False)
    net[5] = BreaksTheGradient(1, 2, 12)
    loop = tiny_loop(net, recipe)
    loop.run(limit_steps=6)
    assert loop.optimiser.skipped() == (2, 0)
    other = tiny_net(norm=False)
    other[5] = BreaksTheGradient(6)  # the thirteenth step
    rest = tiny_loop(other, recipe)
    rest.restore(loop.state())
    outcome = rest.run()
    assert (outcome.skipped, outcome.steps, outcome.diverged_at_step) == (3, 15, None)
    assert tiny_loop(tiny_net(), recipe).run().skipped == 0


@pytest.mark.parametrize(("epochs", "begins", "ends"), [(1, 1, 5), (6, 5, 25)])
def test_a_run_whose_steps_are_all_skipped_has_diverged(epochs, begins, ends):
    net = tiny_net(norm=False)
    net[5] = BreaksTheGradient(*range(begins - 1, 99))
    outcome = tiny_loop(net, Recipe(epochs=epochs, batch_size=8, clip_norm=1.0)).run()
    assert (outcome.diverged_at_step, outcome.steps) == (begins, ends)
    assert outcome.diverged_in == "the gradient of 4.bias"
    assert all(p.isfinite().all() and p.grad is None for p in net.parameters())


def test_evaluation_uses_the_average_and_the_net_keeps_it_when_adopted():
    recipe = Recipe(epochs=1, batch_size=8, ema=0.999)
    net = tiny_net()
    loop = tiny_loop(net, recipe)
    outcome = loop.run()
    own = weights(net)
    average = {name: tensor.clone() for name, tensor in loop.optimiser.average.values.items()}  # type: ignore[union-attr]
    loop.adopt()
    adopted = weights(net)
    assert all(torch.equal(adopted[name], tensor) for name, tensor in average.items())
    assert not torch.equal(own["0.weight"], adopted["0.weight"])
    images, net = tiny_images(), net.eval()
    right = (net(loop.batches.normalise(images.test_images)).argmax(1) == images.test_labels).float().mean()
    assert outcome.epochs[0].test_accuracy == pytest.approx(float(right))


def test_a_watch_is_told_every_loss(tmp_path):
    net = tiny_net()
    loop = tiny_loop(net, Recipe(epochs=1, batch_size=8))
    with gp.watch(net, loop.optimizer, folder=tmp_path, every=1) as loop.watcher:
        loop.run()
        assert loop.watcher.steps == 5
    assert (tmp_path / "watch.jsonl").read_text().count('"losses"') >= 4


def test_lookahead_ends_on_the_slow_weights():
    net = tiny_net()
    loop = tiny_loop(net, Recipe(epochs=1, batch_size=8, lookahead=4))
    loop.run()
    assert loop.outcome.steps == 5
    assert all(map(torch.equal, net.parameters(), loop.optimiser.lookahead.slow))  # type: ignore[union-attr]


def test_the_loss_of_mixed_images_is_that_of_their_soft_targets():
    random = torch.Generator().manual_seed(0)
    logits, first, second = torch.randn(6, 4, generator=random), torch.arange(6) % 4, torch.arange(6) // 2
    loop = tiny_loop(tiny_net(), Recipe(epochs=1, label_smoothing=0.2))
    found = loop.loss(logits, Batch(logits, first, second, share=0.3))
    target = 0.8 * (0.3 * F.one_hot(first, 4) + 0.7 * F.one_hot(second, 4)) + 0.2 / 4
    torch.testing.assert_close(found, -(target * logits.log_softmax(1)).sum())
    torch.testing.assert_close(loop.loss(logits, Batch(logits, first)), loop.loss(logits, Batch(logits, first, first)))
