"""Parameters to the last digit and MACs to all printed digits, against counts computed elsewhere."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
import torch
from torch import nn

from gradpath.errors import SpecError
from gradpath.nets import PUBLISHED, InceptionBlock, build, macs, parameters, resolve, spec_name

Row = tuple[str, dict[str, Any], int, str]

ROWS: list[Row] = [
    ("resnet-20", {}, 269_722, "40.551 M"),
    ("resnet-32", {}, 464_154, "68.863 M"),
    ("resnet-44", {}, 658_586, "97.174 M"),
    ("resnet-56", {}, 853_018, "125.486 M"),
    ("resnet-110", {}, 1_727_962, "252.888 M"),
    ("resnet-1202", {}, 19_421_274, "2829.239 M"),
    ("plain-20", {}, 269_722, "40.551 M"),
    ("plain-32", {}, 464_154, "68.863 M"),
    ("plain-44", {}, 658_586, "97.174 M"),
    ("plain-56", {}, 853_018, "125.486 M"),
    ("plain-110", {}, 1_727_962, "252.888 M"),
    ("plain-1202", {}, 19_421_274, "2829.239 M"),
    ("resnet-20", {"shortcut": "B"}, 272_474, "40.81 M"),
    ("resnet-56", {"shortcut": "B"}, 855_770, "125.75 M"),
    ("resnet-110", {"shortcut": "B"}, 1_730_714, "253.15 M"),
    ("resnet-1202", {"shortcut": "B"}, 19_424_026, "2829.5 M"),
    ("resnet-110", {"shortcut": "C"}, 1_826_202, "266.78 M"),
    ("resnet-20", {"classes": 100}, 275_572, ""),
    ("resnet-56", {"classes": 100}, 858_868, ""),
    ("resnet-110", {"classes": 100}, 1_733_812, ""),
    ("preresnet-20", {}, 272_282, ""),
    ("preresnet-56", {}, 855_578, ""),
    ("preresnet-110", {}, 1_730_522, ""),
    ("preresnet-164", {}, 1_703_258, "244.50 M"),
    ("preresnet-1001", {}, 10_327_706, "1.4878 G"),
    ("preresnet-164", {"classes": 100}, 1_726_388, ""),
    ("preresnet-1001", {"classes": 100}, 10_350_836, ""),
    ("resnet-164", {}, 1_704_154, "247.65 M"),
    ("resnet-1001", {}, 10_328_602, "1.4910 G"),
    ("densenet-40-12", {}, 1_019_722, "264.8 M"),
    ("densenet-100-12", {}, 6_979_642, "1.770 G"),
    ("densenet-100-24", {}, 27_249_082, "6.889 G"),
    ("densenet-40-12", {"classes": 100}, 1_060_132, ""),
    ("densenet-100-12", {"classes": 100}, 7_084_852, ""),
    ("densenet-100-24", {"classes": 100}, 27_457_972, ""),
    ("densenet-bc-40-12", {}, 176_122, "72.37 M"),
    ("densenet-bc-100-12", {}, 769_162, "287.93 M"),
    ("densenet-bc-250-24", {}, 15_324_406, "5.419 G"),
    ("densenet-bc-190-40", {}, 25_624_430, "9.302 G"),
    ("densenet-bc-100-12", {"classes": 100}, 800_032, ""),
    ("densenet-bc-250-24", {"classes": 100}, 15_480_556, ""),
    ("densenet-bc-190-40", {"classes": 100}, 25_821_620, ""),
    ("densenet-bc-40-36", {}, 1_542_682, "0.647 G"),
    ("densenet-bc-40-48", {}, 2_733_130, "1.150 G"),
    ("densenet-bc-40-60", {}, 4_261_690, "1.796 G"),
    ("densenet-b-40-12", {}, 238_306, "82.5 M"),
    ("densenet-c-40-12", {}, 578_090, "192.0 M"),
    ("preresnet-164", {"stride_on": "3x3"}, 1_703_258, "247.65 M"),
    ("wrn-40-1", {}, 563_930, "83.3 M"),
    ("wrn-40-2", {}, 2_243_546, "327.6 M"),
    ("wrn-40-4", {}, 8_949_210, "1.299 G"),
    ("wrn-16-4", {}, 2_748_890, "392.6 M"),
    ("wrn-16-8", {}, 10_961_370, "1.548 G"),
    ("wrn-22-8", {}, 17_158_106, "2.454 G"),
    ("wrn-16-10", {}, 17_116_634, "2.412 G"),
    ("wrn-28-10", {}, 36_479_194, "5.243 G"),
    ("wrn-28-12", {}, 52_517_850, "7.544 G"),
    ("wrn-40-10", {}, 55_841_754, "8.074 G"),
    ("resnext-29-8x64d", {}, 34_426_698, "5.387 G"),
    ("resnext-29-16x64d", {}, 68_155_210, "10.689 G"),
    ("plain-18", {}, 11_515_688, "1.795 G"),
    ("resnet-18", {"shortcut": "A"}, 11_515_688, "1.795 G"),
    ("resnet-18", {}, 11_689_512, "1.814 G"),
    ("plain-34", {}, 21_623_848, "3.644 G"),
    ("resnet-34", {"shortcut": "A"}, 21_623_848, "3.644 G"),
    ("resnet-34", {}, 21_797_672, "3.664 G"),
    ("resnet-50-v1", {}, 25_557_032, "3.858 G"),
    ("resnet-50", {}, 25_557_032, "4.089 G"),
    ("resnet-101-v1", {}, 44_549_160, "7.570 G"),
    ("resnet-101", {}, 44_549_160, "7.801 G"),
    ("resnet-152-v1", {}, 60_192_808, "11.282 G"),
    ("resnet-152", {}, 60_192_808, "11.514 G"),
    ("resnet-200-v1", {}, 64_673_832, "14.776 G"),
    ("resnet-200", {}, 64_673_832, "15.007 G"),
    ("resnext-50-32x4d", {}, 25_028_904, "4.23 G"),
    ("resnext-101-32x8d", {}, 88_791_336, "16.41 G"),
    ("resnext-101-64x4d", {}, 83_455_272, "15.46 G"),
    ("wide-resnet-50-2", {}, 68_883_240, "11.40 G"),
    ("wide-resnet-101-2", {}, 126_886_696, "22.75 G"),
    ("resnetv2-50", {}, 25_549_352, ""),
    ("resnetv2-101", {}, 44_541_480, ""),
    ("densenet-121", {}, 7_978_856, "2.834 G"),
    ("densenet-161", {}, 28_681_000, "7.728 G"),
    ("densenet-169", {}, 14_149_480, "3.360 G"),
    ("densenet-201", {}, 20_013_928, "4.291 G"),
    ("densenet-232", {}, 55_779_784, "16.576 G"),
    ("densenet-264", {}, 33_337_704, "5.752 G"),
    ("densenet-264", {"growth_rate": 48}, 72_686_632, "12.851 G"),
]


def printed(count: int, like: str) -> str:
    """`count` with the unit and the digits of `like`: (40551040, '40.55 M') → '40.55 M'."""
    match = re.fullmatch(r"\d+\.(\d+) ([MG])", like)
    assert match
    return f"{count / {'M': 1e6, 'G': 1e9}[match[2]]:.{len(match[1])}f} {match[2]}"


WIDER = """wrn-22-8 wrn-16-10 wrn-28-12 wrn-40-10 resnext-29-16x64d resnet-101-v1 resnet-152-v1 resnet-200-v1
resnet-200 resnext-101-32x8d resnext-101-64x4d wide-resnet-101-2 resnetv2-101 densenet-169 densenet-201 densenet-232
densenet-264""".split()
"""Each beside a quicker one of its kind."""


def case(row: Row) -> Any:
    """The deep nets build in a second: of each kind one is in the quick run."""
    name, overrides, *_ = row
    twin_of_a_quick_one = re.search(r"-1\d{3}$", name) and (name not in ("resnet-1202", "preresnet-1001") or overrides)
    wider_twin = name in WIDER
    marks = [pytest.mark.slow] * bool(twin_of_a_quick_one or wider_twin)
    return pytest.param(*row, marks=marks, id=f"{name}{overrides or ''}")


@pytest.mark.parametrize(("name", "overrides", "expected", "expected_macs"), [case(row) for row in ROWS])
def test_counts(name: str, overrides: dict[str, Any], expected: int, expected_macs: str) -> None:
    spec = resolve(name, **overrides)
    assert parameters(spec) == expected
    if expected_macs:
        assert printed(macs(spec), expected_macs) == expected_macs


@pytest.mark.slow
def test_published_1001_counts_convolutions_and_linear_alone() -> None:
    with torch.device("meta"):
        net = build("preresnet-1001")
    layers = (module for module in net.modules() if isinstance(module, (nn.Conv2d, nn.Linear)))
    assert sum(parameters(layer) for layer in layers) == 10_178_490  # the paper's 10.2M


RUN: list[tuple[str, dict[str, Any]]] = [
    *(
        (name, {"shortcut": "B"})
        for name in "plain-8 resnet-14 resnet-bottleneck-11 preresnet-basic-14 preresnet-11".split()
    ),
    ("densenet-bc-10-4", {}),
    ("wrn-10-3", {"dropout": 0.3}),
    ("resnext-11-2x3d", {}),
    ("resnet-18", {"gate": "exclusive", "blocks": (1, 1, 1), "depth": 8}),
    ("resnet-50-v1", {"blocks": (1, 1), "depth": 8}),
    ("densenet-121", {"blocks": (2, 1), "depth": 9, "growth_rate": 4}),
]


@pytest.mark.parametrize("size", [8, 28, 30, 33])
@pytest.mark.parametrize(("name", "overrides"), RUN, ids=[name for name, _ in RUN])
def test_macs_equal_those_of_the_layers_that_ran(name: str, overrides: dict[str, Any], size: int) -> None:
    size += 24 * ("imagenet" in resolve(name).stem)
    overrides = {"input_channels": 2, "width": 4, **overrides}
    net = build(name, input_size=size, **overrides).eval()
    ran: list[int] = []

    def count(module: nn.Conv2d | nn.Linear, _: object, out: torch.Tensor) -> None:
        uses = out[0, 0].numel()  # per output channel, one use of each of its weights at each pixel
        ran.append(out.shape[1] * uses * module.weight[0].numel())

    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, 2, size, size))
    assert macs(net) == sum(ran)
    assert macs(resolve(name, **overrides), input_size=size) == sum(ran)


def test_counting_leaves_random_state_and_default_device_alone() -> None:
    before = torch.get_rng_state()
    parameters(resolve("resnet-20")), macs(resolve("resnet-20"))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.empty(1).device.type == "cpu"


@pytest.mark.parametrize("name", [name for name in PUBLISHED if resolve(name).family == "residual"])
def test_every_published_residual_net_has_a_plain_twin_by_name(name: str) -> None:
    residual, twin = resolve(name), resolve(name).plain_twin()
    assert spec_name(twin) == (
        name.replace("resnet", "plain", 1) if re.match(r"(pre)?resnet-", name) else f"plain-{name}"
    )
    assert {k: v for k, v in vars(twin).items() if v != getattr(residual, k)}.keys() <= {"family", "shortcut"}
    if residual.depth < 60:
        padded = dataclasses.replace(residual, shortcut="A")
        assert parameters(twin) == parameters(padded)
        projections = parameters(residual) - parameters(padded)  # what the twin lacks where the paper projects
        assert (projections == 0) == (residual.shortcut == "A")


def test_inception_3a() -> None:
    block = InceptionBlock(resolve("resnet-50"), 192, 256)
    weights = sum(parameter.numel() for parameter in block.parameters() if parameter.dim() == 4)
    # GoogLeNet's table: 192·64 + 192·96 + 96·128·9 + 192·16 + 16·32·25 + 192·32, "159K"
    assert weights == 12_288 + 18_432 + 110_592 + 3_072 + 12_800 + 6_144
    assert block(torch.zeros(2, 192, 7, 7)).shape == (2, 256, 7, 7)
    with pytest.raises(SpecError, match="multiple of 16, got 250: give 256"):
        InceptionBlock(resolve("resnet-50"), 192, 250)


def test_inception_branches_look_at_the_pixels_that_they_name() -> None:
    torch.manual_seed(0)
    block = InceptionBlock(resolve("resnet-50", norm="none", nonlinearity="tanh"), 3, 16)
    x = torch.randn(1, 3, 9, 9, requires_grad=True)
    out, start, seen = block(x).square(), 0, []
    for share in (4, 8, 2, 2):
        (grad,) = torch.autograd.grad(out[0, start : start + share, 4, 4].sum(), x, retain_graph=True)
        rows = grad.abs().sum((0, 1, 3)).nonzero().flatten()
        seen.append((int(rows.min()), int(rows.max())))
        start += share
    assert seen[0] == (4, 4) and seen[1] == (3, 5) and seen[2] == (2, 6)
    assert 3 <= seen[3][0] <= seen[3][1] <= 5 and seen[3] != (4, 4)  # each channel's maximum is one pixel
