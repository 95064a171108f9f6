"""Batches: order, augmentation and mixing against loops over single images, and always the same for a seed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gradpath.errors import UserError
from gradpath.record import Recipe
from gradpath.training import _augment as augment
from gradpath.training._batches import Batches, balanced, prepared
from gradpath.training._mix import draw_mix
from gradpath.training._random import mixed
from tiny_training import tiny_images

CPU = torch.device("cpu")
# Mean of 1 − w² with w = ∫ clip(u + s/2) − clip(u − s/2) du = s − s²/4 for the side s of a box, s² uniform:
# 1 − E[s² − s³/2 + s⁴/16] = 1 − (1/2 − 1/5 + 1/48).
EXPECTED_SHARE = 1 - (1 / 2 - 1 / 5 + 1 / 48)


def batches(seed: int = 0, **fields: object) -> Batches:
    info = tiny_images().info
    return Batches(info, CPU, torch.contiguous_format, seed, Recipe(epochs=1, **fields))  # type: ignore[arg-type]


def random_bytes(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_an_epoch_is_a_permutation_of_its_own():
    order = batches().order(40, 8, epoch=2)
    assert order.shape == (5, 8) and sorted(order.flatten().tolist()) == list(range(40))
    assert torch.equal(order, batches().order(40, 8, epoch=2))
    others = [batches().order(40, 8, epoch=3), batches(seed=1).order(40, 8, epoch=2)]
    assert not any(torch.equal(order, other) for other in others)
    assert batches().order(43, 8).shape == (5, 8) and batches().order(3, 8).shape == (1, 3)


def test_draws_differ_by_seed_purpose_number_and_rank():
    given = [(s, p, n, r) for s in (0, 1, 2**63 - 1) for p in ("order", "crop") for n in (0, 1, 2**40) for r in (0, 1)]
    assert len({mixed(*arguments) & 0xFFFFFFFF for arguments in given}) == len(given)
    assert all(0 <= mixed(*arguments) < 2**63 for arguments in given)


def test_balanced_classes_are_drawn_equally_often():
    labels = torch.tensor([0] * 30 + [1] * 6 + [2] * 4)
    order = batches(balance=True).order(labels, 10)
    drawn = labels[order.flatten()]
    assert order.shape == (4, 10) and torch.bincount(drawn).tolist() in ([14, 13, 13], [13, 14, 13], [13, 13, 14])
    rare = order.flatten()[drawn == 2]
    assert torch.bincount(rare - 36).min() >= 3  # 13 or 14 draws of 4 images
    assert len(set(order.flatten()[drawn == 0].tolist())) == (drawn == 0).sum()  # none twice while there are more
    assert len(balanced(labels, torch.Generator(), torch.arange(40))) == 40


@pytest.mark.parametrize("fill", ["black", "mean", "reflect"])
def test_crops_are_those_of_single_padded_images(fill):
    images, mean = random_bytes(6, 2, 8, 8), torch.tensor([10.4, 200.6]).view(1, 2, 1, 1)
    shifts = torch.tensor([[0, 1, 2, 3, 4, 6], [6, 5, 4, 3, 2, 0]])
    found = augment.crop(augment.padded(images, 3, fill, mean), shifts, 8, 8)
    for image, crop, row, column in zip(images, found, *shifts.tolist(), strict=True):
        if fill == "reflect":
            padded = F.pad(image[None].float(), (3,) * 4, mode="reflect")[0].to(torch.uint8)
        else:
            colour = (10, 201) if fill == "mean" else (0, 0)
            padded = torch.stack([F.pad(c, (3,) * 4, value=v) for c, v in zip(image, colour, strict=True)])
        assert torch.equal(crop, padded[:, row : row + 8, column : column + 8])


def test_alternating_flips_show_both_sides_in_two_epochs_and_random_ones_about_half():
    images, index = tiny_images(), torch.arange(40)
    turned = batches(augment="flip", flip="alternating")
    flips = [turned._flips(images, index, step, epoch) for step, epoch in ((0, 1), (5, 2), (10, 3))]
    assert torch.equal(flips[0], ~flips[1]) and torch.equal(flips[0], flips[2]) and 8 < int(flips[0].sum()) < 32
    again = batches(augment="flip", flip="alternating")._flips(images, index[10:20], 7, 1)
    assert torch.equal(again, flips[0][10:20])  # by the image, not by its place in the batch
    drawn = [batches(augment="flip")._flips(images, index, step, 1) for step in range(50)]
    assert torch.stack(drawn).float().mean() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(augment.flip(images.train_images, flips[0])[0], images.train_images[0].flip(2)) == bool(
        flips[0][0]
    )


def test_a_step_is_a_function_of_the_seed_and_its_number():
    images, index = tiny_images(), torch.arange(10)
    make = batches(augment="crop-flip", mixup=1.0).make
    first = make(images, index, 3, 1)
    assert torch.equal(first.inputs, batches(augment="crop-flip", mixup=1.0).make(images, index, 3, 1).inputs)
    assert not torch.equal(first.inputs, make(images, index, 4, 1).inputs)


@pytest.mark.parametrize("fields", [{"mixup": 0.5}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 1.0}, {}])
def test_parts_are_what_they_are_in_the_whole(fields):
    images, index = tiny_images(), torch.randperm(40, generator=torch.Generator().manual_seed(2))[:12]
    maker = batches(augment="crop-flip", crop_padding=2, **fields)
    for step in range(3):
        whole = maker.make(images, index, step, 1)
        for part in (slice(0, 5), slice(5, 12)):
            piece = maker.make(images, index, step, 1, part)
            assert torch.equal(piece.inputs, whole.inputs[part]) and torch.equal(piece.labels, whole.labels[part])
            assert piece.share == whole.share
            assert (piece.partners is None) == (whole.partners is None)
            assert piece.partners is None or torch.equal(piece.partners, whole.partners[part])


def test_mixup_blends_two_images_and_their_labels():
    images, index = tiny_images(), torch.arange(12)
    maker = batches(mixup=0.8)
    plain, batch = maker.normalise(images.train_images[:12]), maker.make(images, index, 0, 1)
    mix = draw_mix(maker.recipe, 0, 0, 12, 8, 8)
    assert mix is not None and 0 < mix.share < 1 and mix.share == batch.share
    torch.testing.assert_close(batch.inputs, mix.share * plain + (1 - mix.share) * plain[mix.partners])
    assert torch.equal(batch.partners, images.train_labels[:12][mix.partners])


def test_cutmix_pastes_a_box_and_counts_its_pixels():
    images, index = tiny_images(), torch.arange(12)
    maker = batches(cutmix=1.0)
    plain = maker.normalise(images.train_images[:12])
    for step in range(40):
        batch, mix = maker.make(images, index, step, 1), draw_mix(maker.recipe, 0, step, 12, 8, 8)
        assert mix is not None
        own = (batch.inputs == plain).all(1).all(0)  # pixels that are the image's own in the whole batch
        same = (plain == plain[mix.partners]).all(1).all(0)
        assert own.logical_or(same).sum() / 64 == pytest.approx(batch.share, abs=1e-6)
    shares = [mix.share for step in range(1000) if (mix := draw_mix(maker.recipe, 0, step, 2, 64, 64)) is not None]
    assert min(shares) < 0.1 and max(shares) > 0.99
    assert sum(shares) / 1000 == pytest.approx(EXPECTED_SHARE, abs=0.02)


def test_shares_of_both_kinds_are_beta():
    draws = [draw_mix(Recipe(epochs=1, mixup=0.4, cutmix=0.4), 0, step, 4, 32, 32) for step in range(400)]
    blends = [mix.share for mix in draws if mix is not None and mix.box is None]
    assert 150 < len(blends) < 250
    mean = sum(blends) / len(blends)
    variance = sum((share - mean) ** 2 for share in blends) / len(blends)
    assert mean == pytest.approx(0.5, abs=0.08) and variance == pytest.approx(0.25 / 1.8, abs=0.03)


def test_resized_crops_are_bilinear_views_of_their_box():
    images = random_bytes(3, 2, 16, 16)
    whole = torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1]])
    assert torch.equal(augment.resized_crop(images, whole, 16), images)
    corner = torch.tensor([[-0.5] * 3, [0.5] * 3, [0.5] * 3, [0.5] * 3])  # the lower left quarter
    expected = F.interpolate(images[:, :, 8:, :8].float(), 12, mode="bilinear", align_corners=False)
    found = augment.resized_crop(images, corner, 12).float()
    assert (found - expected)[:, :, 2:-2, 2:-2].abs().max() < 0.501  # at the box's edge the image goes on
    assert augment.resized_crop(images, corner, 12).shape == (3, 2, 12, 12)


def test_boxes_lie_in_the_image_and_their_areas_are_uniform():
    x, y, half_width, half_height = augment.boxes(torch.rand(4, 4000, generator=torch.Generator().manual_seed(0)), 0.1)
    assert bool(((x.abs() + half_width) <= 1 + 1e-6).all() and ((y.abs() + half_height) <= 1 + 1e-6).all())
    shape, area = half_width / half_height, half_width * half_height
    assert shape.min() > 0.749 and shape.max() < 1.334 and area.min() > 0.099
    assert float(area.mean()) == pytest.approx(0.55, abs=0.02)
    inside = (half_width < 1) & (half_height < 1)
    assert float(shape[inside].log().abs().max()) <= math.log(4 / 3) + 1e-5


def test_training_sees_crops_and_evaluation_the_middle():
    maker = batches(augment="resized-crop-flip", crop_size=8)
    images = random_bytes(2, 2, 12, 12)
    assert torch.equal(maker.normalise(images), maker.normalise(images[:, :, 2:10, 2:10]))
    held = replace(tiny_images(), train_images=random_bytes(40, 2, 12, 12))
    assert maker.make(held, torch.arange(4), 0, 1).inputs.shape == (4, 2, 8, 8)


def test_the_mean_image_is_subtracted_and_travels_with_the_data():
    images = tiny_images()
    with_mean = prepared(images, Recipe(epochs=1, pixel_mean=True))
    maker = Batches(with_mean.info, CPU, torch.contiguous_format, 0)
    found = maker.normalise(images.train_images)
    floats = images.train_images.double() / 255
    torch.testing.assert_close(found, ((floats - floats.mean(0)) / 0.25).float(), rtol=1e-4, atol=1e-5)
    assert found.mean(0).abs().max() < 1e-5
    assert prepared(images, Recipe(epochs=1)) is images
    large = replace(images, train_images=random_bytes(2, 2, 65, 65))
    with pytest.raises(UserError, match="65"):
        prepared(large, Recipe(epochs=1, pixel_mean=True))
