"""Parameters to the last digit and MACs to all printed digits, against counts computed elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from gradpath.nets import build, macs, parameters, resolve

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
]


def printed(count: int, like: str) -> str:
    """`count` with the unit and the digits of `like`: (40551040, '40.55 M') → '40.55 M'."""
    match = re.fullmatch(r"\d+\.(\d+) ([MG])", like)
    assert match
    return f"{count / {'M': 1e6, 'G': 1e9}[match[2]]:.{len(match[1])}f} {match[2]}"


def case(row: Row) -> Any:
    """The deep nets build in a second: of each kind one is in the quick run."""
    name, overrides, *_ = row
    twin_of_a_quick_one = re.search(r"-1\d{3}$", name) and (name not in ("resnet-1202", "preresnet-1001") or overrides)
    return pytest.param(*row, marks=[pytest.mark.slow] * bool(twin_of_a_quick_one), id=f"{name}{overrides or ''}")


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


@pytest.mark.parametrize("size", [8, 28, 30, 33])
@pytest.mark.parametrize(
    "name", ["plain-8", "resnet-14", "resnet-bottleneck-11", "preresnet-basic-14", "preresnet-11", "densenet-bc-10-4"]
)
def test_macs_equal_those_of_the_layers_that_ran(name: str, size: int) -> None:
    net = build(name, input_size=size, input_channels=2, width=4, shortcut="B").eval()
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
    assert macs(resolve(name, input_channels=2, width=4, shortcut="B"), input_size=size) == sum(ran)


def test_counting_leaves_random_state_and_default_device_alone() -> None:
    before = torch.get_rng_state()
    parameters(resolve("resnet-20")), macs(resolve("resnet-20"))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.empty(1).device.type == "cpu"
