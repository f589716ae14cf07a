"""Losses, penalties, augmentation and the stages, each against its definition."""

import pytest
import torch

from cxr_gan.training.config import Augmentation, Loss
from cxr_gan.training.losses import (
    DRAWS,
    augmented,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
)
from cxr_gan.training.steps import Progress, Schedule, as_shown
from support.gan.quick import quick_gan

WASSERSTEIN = quick_gan("pggan").loss
MODERN = quick_gan("pggan-modern").loss
SCHEDULE = Schedule((4, 8, 16), (100, 100, 1000), (1.0, 2.0, 4.0), 0.5, 70.0)


def of_a_plane(loss: Loss, slope: float) -> float:
    """The penalty of a discriminator whose gradient has the norm `slope` everywhere."""
    images = torch.randn(4, 1, 2, 2)
    mix = torch.rand(4)
    plane = lambda x: x.flatten(1).sum(1) * slope / 2  # noqa: E731
    return gradient_penalty(loss, plane, images, -images, mix).item()


def test_wgan_gp_wants_a_slope_of_one_and_r1_none() -> None:
    assert of_a_plane(WASSERSTEIN, 1.0) == pytest.approx(0.0, abs=1e-6)
    assert of_a_plane(WASSERSTEIN, 3.0) == pytest.approx(10.0 * 4)
    lazy = MODERN.penalty_weight * MODERN.penalty_interval / 2
    assert of_a_plane(MODERN, 3.0) == pytest.approx(lazy * 9)


def test_both_losses_fall_for_who_wins() -> None:
    high, low = torch.full((4,), 3.0), torch.full((4,), -3.0)
    for loss in (WASSERSTEIN, MODERN):
        assert discriminator_loss(loss, high, low) < discriminator_loss(loss, low, high)
        assert generator_loss(loss, high) < generator_loss(loss, low)
    # -3 - 3, and the drift of 0.001 * 9.
    assert discriminator_loss(WASSERSTEIN, high, low).item() == pytest.approx(-6 + 0.009)


def test_an_augmented_image_passes_its_gradient_and_without_draws_is_itself() -> None:
    rule = Augmentation(brightness=0.3, contrast=0.3, translation=0.25, cutout=0.5)
    still = rule.model_copy(update={"cutout": 0.0})
    images = torch.randn(6, 1, 8, 8, requires_grad=True)
    torch.testing.assert_close(augmented(images, torch.zeros(6, DRAWS), still), images)
    augmented(images, torch.rand(6, DRAWS) * 2 - 1, rule).square().sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert images.grad.flatten(1).abs().sum(1).min() > 0


def test_a_translation_moves_by_whole_pixels_and_a_cut_leaves_a_square_out() -> None:
    image = torch.arange(1.0, 65.0).view(1, 1, 8, 8)
    draws = torch.zeros(1, DRAWS)
    draws[0, 2] = 1.0
    rule = Augmentation(brightness=0, contrast=0, translation=0.25, cutout=0)
    moved = augmented(image, draws, rule)
    torch.testing.assert_close(moved[..., 2:, :], image[..., :-2, :])
    assert moved[..., :2, :].abs().max() == 0
    cut = augmented(image, torch.zeros(1, DRAWS), rule.model_copy(update={"cutout": 0.5}))
    assert (cut == 0).sum() == 16


def test_a_stage_ends_after_its_images_on_a_fast_machine_and_after_its_time_on_a_slow_one() -> None:
    fast = Progress(stage=0, stage_images=100, stage_elapsed_s=1.0, elapsed_s=1.0)
    slow = Progress(stage=0, stage_images=5, stage_elapsed_s=10.0, elapsed_s=10.0)
    assert SCHEDULE.spent(fast) == SCHEDULE.spent(slow) == 1.0


def test_time_that_a_stage_leaves_goes_to_the_later_ones_and_the_run_ends_with_its_budget() -> None:
    at = Progress(stage=1, elapsed_s=1.0)
    assert SCHEDULE.stage_limit_s(at) == pytest.approx(69 * 2 / 6)
    at = Progress(stage=2, elapsed_s=24.0 + 6.0, stage_elapsed_s=6.0)
    assert SCHEDULE.stage_limit_s(at) == pytest.approx(70 - 24)


def test_a_new_layer_is_blended_in_over_its_share_of_the_stage() -> None:
    assert SCHEDULE.fade(Progress(stage=0)) == 1.0
    assert SCHEDULE.fade(Progress(stage=1)) == 0.0
    assert SCHEDULE.fade(Progress(stage=1, stage_images=25)) == pytest.approx(0.5)
    assert SCHEDULE.fade(Progress(stage=1, stage_images=60)) == 1.0


def test_real_images_are_shown_at_the_stages_side_and_blended_as_it_is() -> None:
    grey = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(as_shown(grey, 8, 1.0), grey.float() / 127.5 - 1)
    small, blended = as_shown(grey, 4, 1.0), as_shown(grey, 8, 0.0)
    torch.testing.assert_close(blended[..., ::2, ::2], small)
