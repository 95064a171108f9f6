"""3×3 convolutions in Winograd's form against float64, other thread counts, guarded memory, and what torch keeps."""

from __future__ import annotations

import pickle
import random
from dataclasses import dataclass

import pytest
import torch
from fused import Poison, guarded, skip_without_compiler
from torch import Tensor, nn

import gradpath as gp
from gradpath.errors import KernelError
from gradpath.kernels import FusedPasses, _winograd
from gradpath.kernels._vectors import available
from gradpath.kernels._winograd import Winograd, WinogradConvs
from gradpath.nets import TORCH_CONVS

BOUND = 1e-5  # of the largest number


@pytest.fixture
def products() -> Winograd:
    try:
        return Winograd()
    except KernelError as error:
        skip_without_compiler(error)
        raise


@dataclass(frozen=True)
class Case:
    """One convolution, drawn from a seed."""

    images: int
    channels: int
    out: int
    height: int
    width: int
    layout: str  # of the weight
    seed: int

    @staticmethod
    def drawn(seed: int) -> Case:
        rng = random.Random(seed)
        height = rng.choice([4, 4, 5, 6, 7, 8, 9, 11, 13, 14, 16, 28, 32, 56])
        width = max(4, height + rng.choice([-3, 0, 0, 0, 1, 5]))
        images = -(-_winograd.PIXELS // (height * width)) + rng.choice([0, 0, 1, 2])
        most = max(16, min(256, 400_000 // (images * height * width)))
        channels, out = (rng.randrange(12, most + 1, 4) for _ in range(2))
        return Case(images, channels, out, height, width, rng.choice(["plain", "last", "odd"]), seed)


@dataclass
class Given:
    x: Tensor  # N C H W, channels-last
    grad: Tensor  # N K H W, channels-last
    weight: Tensor  # K C 3 3


def given(case: Case) -> Given:
    """Channels of unequal sizes, one of them constant, as behind a norm and a ReLU."""
    source = torch.Generator().manual_seed(case.seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    x = draw(case.images, case.channels, case.height, case.width).relu() * draw(1, case.channels, 1, 1).exp()
    x[:, 0] = 1
    grad = draw(case.images, case.out, case.height, case.width)
    weight = draw(case.out, case.channels, 3, 3).float()
    if case.layout == "last":
        weight = weight.contiguous(memory_format=torch.channels_last)
    if case.layout == "odd":
        weight = weight.permute(1, 3, 0, 2).contiguous().permute(2, 0, 3, 1)
    return Given(guarded(x, torch.float32), guarded(grad, torch.float32), weight)


def found(products: Winograd, tensors: Given) -> list[Tensor]:
    """The output, the gradient of the input, the gradient of the weight."""
    x, grad, weight = tensors.x, tensors.grad, tensors.weight
    return [
        products.convolve(x, weight),
        products.input_gradient(grad, weight),
        products.weight_gradient(grad, x, weight),
    ]


def by_float64(tensors: Given) -> list[Tensor]:
    x, weight = (t.double().contiguous().requires_grad_() for t in (tensors.x, tensors.weight))
    y = nn.functional.conv2d(x, weight, padding=1)
    return [y.detach(), *torch.autograd.grad(y, (x, weight), tensors.grad.double())]


def right(products: Winograd, case: Case) -> None:
    tensors = given(case)
    kept = tensors.x.clone(), tensors.grad.clone(), tensors.weight.clone()
    assert products.takes(tensors.x, tensors.weight), case
    for got, wanted, name in zip(found(products, tensors), by_float64(tensors), ["y", "x", "weight"], strict=True):
        error = (got.double() - wanted).abs().max() / wanted.abs().max()
        assert error <= BOUND, (case, name, float(error))
        assert got.is_contiguous(memory_format=torch.channels_last) or name == "weight"
    for before, after in zip(kept, (tensors.x, tensors.grad, tensors.weight), strict=True):
        assert torch.equal(before, after), (case, "an input was written to")


def poison_all(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """All that a product allocates is full of NaN and guarded."""
    poison, empty = Poison(), torch.empty
    monkeypatch.setattr(Tensor, "new_empty", lambda like, *shape: poison(empty(shape, dtype=like.dtype)))
    monkeypatch.setattr("gradpath.kernels._winograd.torch.empty_like", poison)
    return poison


@pytest.mark.parametrize("first", range(0, 120, 40))
def test_random_sizes_agree_with_float64(products, monkeypatch, first):
    poison = poison_all(monkeypatch)
    for seed in range(first, first + 40):
        right(products, Case.drawn(seed))
    assert len(poison.made) == 6 * 40
    assert poison.intact()


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 6000, 250))
def test_many_random_sizes_agree_with_float64(products, monkeypatch, first):
    for seed in range(first, first + 250):
        poison = poison_all(monkeypatch)
        right(products, Case.drawn(seed))
        assert poison.intact()
        monkeypatch.undo()


@pytest.mark.parametrize("seed", range(20))
def test_results_do_not_depend_on_the_number_of_threads(products, seed):
    tensors, before = given(Case.drawn(seed)), torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(found(products, tensors))
    finally:
        torch.set_num_threads(before)
    for one, *others in zip(*results, strict=True):
        assert all(torch.equal(one, other) for other in others)


def test_an_image_does_not_depend_on_those_beside_it(products):
    """A tile's rounding does not: what evaluation finds is not a matter of the batch."""
    x = torch.randn(8, 16, 17, 23).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(24, 16, 3, 3)
    whole = products.convolve(x, weight)
    for first in range(0, 8, 4):
        assert torch.equal(whole[first : first + 4], products.convolve(x[first : first + 4], weight))


def test_zeros_and_infinities_stay_in_their_image(products):
    x = torch.randn(4, 16, 16, 16).contiguous(memory_format=torch.channels_last)
    x[1, 3, 5, 7] = torch.inf
    x[2] = 0
    y = products.convolve(x, torch.randn(16, 16, 3, 3))
    assert y[[0, 3]].isfinite().all()
    assert (y[2] == 0).all()
    assert not y[1].isfinite().all()


def conv(channels: int = 16, out: int = 24, **changes: object) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, **{"padding": 1, "bias": False, **changes})


LEFT_TO_TORCH = {
    "stride": (conv(stride=2), {}),
    "padding": (conv(padding=0), {}),
    "padding by name": (conv(padding="same"), {}),
    "groups": (conv(groups=4), {}),
    "dilation": (conv(dilation=2, padding=2), {}),
    "kernel": (nn.Conv2d(16, 24, 1, padding=0, bias=False), {}),
    "few channels": (conv(8), {"channels": 8}),
    "odd channels": (conv(18), {"channels": 18}),
    "many channels": (conv(260), {"channels": 260}),
    "float64": (conv().double(), {"dtype": torch.float64}),
    "NCHW": (conv(), {"memory": torch.contiguous_format}),
    "narrow": (conv(), {"shape": (400, 3, 16)}),
    "few pixels": (conv(), {"shape": (1, 31, 33)}),
}


@pytest.mark.parametrize("name", LEFT_TO_TORCH)
def test_what_does_not_fit_goes_to_torch_bit_for_bit(products, name):
    layer, about = LEFT_TO_TORCH[name]
    images, height, width = about.get("shape", (4, 16, 16))
    x = torch.randn(images, about.get("channels", 16), height, width, dtype=about.get("dtype"))
    x = x.contiguous(memory_format=about.get("memory", torch.channels_last))
    own = WinogradConvs(products)
    assert not own.takes(x, layer)
    with torch.no_grad():
        assert torch.equal(own.convolve(x, layer), TORCH_CONVS.convolve(x, layer))


def test_under_autocast_it_goes_to_torch_and_float32_autocast_does_not(products):
    x, layer, own = (
        torch.randn(4, 16, 16, 16).contiguous(memory_format=torch.channels_last), conv(), WinogradConvs(products)
    )  # fmt: skip
    assert own.takes(x, layer)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert not own.takes(x, layer)
        assert own.convolve(x, layer).dtype is torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16, enabled=False):
        assert own.takes(x, layer)


def test_gradients_that_nobody_asked_for_and_gradients_laid_out_oddly(products):
    x, layer, own = (
        torch.randn(4, 16, 16, 16).contiguous(memory_format=torch.channels_last), conv(), WinogradConvs(products)
    )  # fmt: skip
    grad = torch.randn(4, 24, 16, 16)
    with torch.no_grad():
        grad_x, grad_weight = own.convolve_backward(grad, x, layer, True)
        wanted = TORCH_CONVS.convolve_backward(grad, x, layer, True)
        for got, right_one in zip((grad_x, grad_weight), wanted, strict=True):
            torch.testing.assert_close(got, right_one, rtol=0, atol=BOUND * float(right_one.abs().max()))
        for odd in (grad.contiguous(memory_format=torch.channels_last), grad.transpose(2, 3).contiguous().mT):
            assert torch.equal(own.convolve_backward(odd, x, layer, True)[0], grad_x)
        assert own.convolve_backward(grad, x, layer, False)[0] is None
        layer.weight.requires_grad_(False)
        assert own.convolve_backward(grad, x, layer, True)[1] is None
        spread_out = grad[:1, :1, :1, :1].expand(4, 24, 16, 16)  # as of a sum: strides of 0
        first = own.convolve_backward(spread_out, x, layer, True)[0]
        assert torch.equal(first, own.convolve_backward(spread_out.contiguous(), x, layer, True)[0])


def test_the_default_dtype_does_not_matter(products):
    tensors = given(Case.drawn(1))
    before = found(products, tensors)
    torch.set_default_dtype(torch.float64)
    try:
        after = found(products, tensors)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_passes_with_these_products_can_be_pickled(products):
    convs = FusedPasses().convs
    assert isinstance(convs, WinogradConvs)
    x = torch.randn(4, 16, 16, 16).contiguous(memory_format=torch.channels_last)
    assert pickle.loads(pickle.dumps(convs)).takes(x, conv())


def test_without_the_products_the_norm_passes_take_torchs_convolutions(monkeypatch):
    def refuse(*_: object) -> object:
        raise KernelError("no compiler")

    monkeypatch.setattr("gradpath.kernels._vectors.library", refuse)
    assert available(Winograd) is None


def test_a_fused_net_trains_through_them(products):
    """Gradients of a whole net against float64: as far off as plain ones, but for rounding three times as large."""
    torch.manual_seed(0)
    plain = gp.build("resnet-20").to(memory_format=torch.channels_last)
    exact = gp.build("resnet-20").double()
    exact.load_state_dict(plain.state_dict())
    fused = gp.build("resnet-20").to(memory_format=torch.channels_last)
    fused.load_state_dict(plain.state_dict())
    gp.fuse(fused, "compiled", say=lambda line: None)
    x = torch.randn(4, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    target = torch.arange(4)

    def gradient(model: nn.Module, images: Tensor) -> Tensor:
        nn.functional.cross_entropy(model(images), target).backward()
        return torch.cat([p.grad.double().flatten() for p in model.parameters()])

    wanted = gradient(exact, x.double())
    off_plain = (gradient(plain, x) - wanted).norm() / wanted.norm()
    off_fused = (gradient(fused, x) - wanted).norm() / wanted.norm()
    assert off_fused <= 5 * off_plain + 1e-6, (float(off_plain), float(off_fused))
