"""The net that training begins with: its classifier, its weights, its normalisation, what of it is frozen."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

import gradpath as gp
from gradpath.errors import DataError, UserError, WeightsError
from gradpath.nets import build, load_weights, save_weights
from gradpath.record import Execution, NetSpec, Recipe
from gradpath.training import Weights
from gradpath.training._data import with_channels
from gradpath.training._start import IMAGENET, begin, find_head
from tiny_training import tiny_images, tiny_net

PLAIN = Execution(precision="float32", layout="contiguous", reason="a test")
SHORT = Recipe(epochs=1, batch_size=8, learning_rate=0.05)
SPEC = NetSpec(family="residual", depth=8, width=4, classes=4, input_size=8, input_channels=2)


def state_of(net):
    return {key: tensor.clone() for key, tensor in net.state_dict().items()}


def same(a, b, keys):
    return all(torch.equal(a[key], b[key]) for key in keys)


@pytest.fixture
def weights(tmp_path):
    """A file of a net for six classes, written with its data."""
    torch.manual_seed(1)
    net = build(dataclasses.replace(SPEC, classes=6))
    info = dataclasses.replace(tiny_images(classes=4).info, classes=tuple("abcdef"), mean=(0.1, 0.2), std=(0.3, 0.4))
    return save_weights(net, tmp_path / "six.safetensors", info)


def test_a_model_is_copied_and_its_classifier_replaced(tmp_path):
    net = nn.Sequential(*list(tiny_net())[:-1], nn.Linear(32, 9))
    before = state_of(net)
    record = gp.train(net, tiny_images(), recipe=SHORT, execution=PLAIN, output=tmp_path)
    assert same(before, net.state_dict(), before) and net[7].out_features == 9 and net.training
    assert record.notes == ("the classifier 7 was replaced: 9 classes before, 4 now",)
    assert (record.spec, record.family, record.norm, record.name) == (None, None, None, "Sequential")
    convolutions = 4 * 4 * 6 * (2 * 9) + 2 * 2 * 8 * (6 * 9)  # two strides of 2 on 8 px
    assert (record.depth, record.macs) == (3, convolutions + 32 * 4)
    assert gp.read(tmp_path) == record
    load_weights(tiny_net(), tmp_path / record.weights)  # of four classes
    with pytest.raises(WeightsError, match="another shape"):
        load_weights(net, tmp_path / record.weights)


def test_a_function_makes_the_model_anew_for_each_seed():
    def made():
        return nn.Sequential(nn.Flatten(), nn.Linear(128, 4))

    random = torch.get_rng_state()
    nets = [begin(made, tiny_images(), seed).net for seed in (1, 1, 2)]
    assert torch.equal(nets[0][1].weight, nets[1][1].weight)
    assert not torch.equal(nets[0][1].weight, nets[2][1].weight)
    assert torch.equal(random, torch.get_rng_state())


def test_the_classifier_is_the_last_layer_that_runs_not_the_last_defined():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.unused = nn.Conv2d(5, 7, 1), nn.Linear(3, 7)
            self.body, self.norm = nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5)

        def forward(self, x):
            return self.head(self.norm(self.body(x))).mean((2, 3))

    net = Net().eval()
    before = state_of(net)
    assert find_head(net, tiny_images().info) == ("head", 2, 36 * 5 * 18 + 36 * 7 * 5)
    assert same(before, net.state_dict(), before) and not net.training
    assert begin(net, tiny_images(), 0).net.head.out_channels == 4


def test_weights_for_other_classes_fill_all_but_the_classifier(weights):
    begun = begin(SPEC, tiny_images(), 0, Weights(weights))
    own, theirs = begun.net.state_dict(), build(SPEC).state_dict()
    theirs |= dict(load_weights(build(dataclasses.replace(SPEC, classes=6)), weights).state_dict())
    body = [key for key in own if not key.startswith("head")]
    assert same(own, theirs, body)
    assert begun.start.replaced == ("head.linear.weight", "head.linear.bias")
    assert begun.start.normalise == "weights" and begun.images.info.mean == (0.1, 0.2)
    assert "but for the classifier head.linear" in begun.notes[0]


def test_a_classifier_of_the_same_classes_is_taken_and_of_others_is_not(tmp_path):
    net, info = build(SPEC), tiny_images().info
    file = save_weights(net, tmp_path / "a.safetensors", info)
    begun = begin(SPEC, tiny_images(), 7, Weights(file))
    assert begun.start.replaced == () and torch.equal(begun.net.head.linear.weight, net.head.linear.weight)
    other = save_weights(net, tmp_path / "b.safetensors", dataclasses.replace(info, classes=tuple("wxyz")))
    begun = begin(SPEC, tiny_images(), 7, Weights(other))
    assert begun.start.replaced == ("head.linear.weight", "head.linear.bias")
    assert not torch.equal(begun.net.head.linear.weight, net.head.linear.weight)
    assert torch.equal(begun.net.stem.conv.weight, net.stem.conv.weight)


@pytest.mark.parametrize(
    ("asked", "channels", "whose", "mean"),
    [(None, 2, "data", (0.4, 0.4)), ("data", 3, "data", (0.4,) * 3), (None, 3, "imagenet", IMAGENET[0])],
)
def test_whose_statistics_normalise(tmp_path, asked, channels, whose, mean):
    net = tiny_net(channels=channels)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    begun = begin(net, tiny_images(channels=channels), 0, Weights(tmp_path / "net.pth", normalise=asked))
    assert (begun.start.normalise, begun.images.info.mean) == (whose, mean)


def test_a_model_says_its_own_statistics_as_timms_do(tmp_path):
    net = tiny_net(channels=3)
    net.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}
    torch.save(net.state_dict(), tmp_path / "net.pth")
    images = tiny_images(channels=3)
    assert begin(net, images, 0, Weights(tmp_path / "net.pth")).images.info.mean == (0.5, 0.5, 0.5)
    assert begin(net, images, 0).images.info.std == (0.2, 0.2, 0.2)


def test_grey_images_feed_a_net_that_sees_colours():
    grey = tiny_images(channels=1)
    begun = begin(tiny_net(channels=3), grey, 0)
    assert begun.images.info.channels == 3 and begun.images.info.mean == (0.4,) * 3
    assert torch.equal(begun.images.train_images[:, 2], grey.train_images[:, 0])
    with pytest.raises(DataError, match="2 channels, the net takes 3"):
        with_channels(tiny_images(), 3)


def test_frozen_layers_stay_as_they_are_bit_for_bit(tmp_path):
    net = tiny_net()
    before = state_of(net)
    recipe = dataclasses.replace(SHORT, freeze=True, epochs=2)
    record = gp.train(net, tiny_images(), recipe=recipe, execution=PLAIN, output=tmp_path)
    after = load_weights(tiny_net(), tmp_path / record.weights).state_dict()
    assert same(before, after, [key for key in before if not key.startswith("7.")])  # running statistics too
    assert not torch.equal(before["7.weight"], after["7.weight"])
    assert record.notes == ("frozen: all but 7 (132 of 698 parameters learn), its norms in eval mode",)
    assert record.gradient is None
    assert all(parameter.requires_grad for parameter in net.parameters())


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)), x


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten()), "classifier was not found"),
        (nn.Sequential(nn.Flatten(), nn.Linear(2 * 16 * 16, 4)), "images of 8 px and 2 channels"),
        (nn.Conv2d(2, 4, 1), r"gives \(2, 4, 8, 8\) for 2 images"),
        (Pair(128, 4), "gives tuple for 2 images"),
        (nn.Flatten(), "no parameters"),
        (lambda: 3, "gave a int"),
    ],
)
def test_what_is_no_classifier_of_these_images_is_refused_before_anything_is_written(tmp_path, model, message):
    with pytest.raises(UserError, match=message):
        gp.train(model, tiny_images(), recipe=SHORT, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_the_keys_do_not_tell_is_asked_for(tmp_path):
    net = gp.build("resnet-8", classes=4, input_size=8, input_channels=3)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    images = tiny_images(channels=3)
    with pytest.raises(WeightsError, match=r"net\.pth.*padding 'both' or 'end'"):
        begin("resnet-8", images, 0, Weights(tmp_path / "net.pth"))
    assert begin("resnet-8", images, 0, Weights(tmp_path / "net.pth", padding="end")).spec.padding == "end"
    with pytest.raises(WeightsError, match="give normalise"):
        begin("resnet-8", images, 0, Weights(tmp_path / "net.pth", padding="end", normalise="weights"))
    (tmp_path / "cut.safetensors").write_bytes(b"\x10")
    with pytest.raises(WeightsError, match=r"cut\.safetensors"):
        gp.train("resnet-8", images, weights=tmp_path / "cut.safetensors", output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
