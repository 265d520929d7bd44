import itertools

import cv2
import numpy as np
import pytest

from georeg.matching.correlation import Boxes, correlate, find_peaks, misses_on_return
from georeg.matching.descriptors import DescriptorSettings, double_angle
from georeg.matching.protocol import PatchPair
from georeg.matching.structural import StructuralMatcher, StructuralSettings
from georeg.matching.sweep import SweepSettings, sweep
from georeg.scene import Modality, Patch


def scenery(size=256, seed=0):
    """Smooth blobs with edges: structure at several scales."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), s) * s for s in (2, 5, 12)
    ]
    image = sum(layers)
    return (image > 0.3).astype(np.float32) * 2 + 0.3 * image


def patch(pixels, valid=None, modality=Modality.OPTICAL):
    valid = np.ones(pixels.shape, bool) if valid is None else valid
    pixels = (pixels - pixels[valid].mean()) / pixels[valid].std()
    return Patch(np.where(valid, pixels, 0).astype(np.float32), valid, modality)


def moved(pixels, matrix):
    """Warp by (3, 3) in corner coordinates, input -> output."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    centred = np.linalg.inv(half) @ matrix @ half
    return cv2.warpPerspective(
        pixels, centred, pixels.shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


def shift_by(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def described(one):
    return double_angle(one.pixels, one.valid.astype(np.float32), DescriptorSettings())


def floats(*values):
    return np.array(values, np.float32)


def test_descriptors_do_not_see_inverted_contrast():
    one = patch(scenery())
    negative = Patch(-one.pixels, one.valid, one.modality)
    assert np.allclose(described(one)[0], described(negative)[0], atol=1e-6)


def test_double_angle_turns_with_the_image():
    one = patch(scenery())
    turned = described(Patch(np.rot90(one.pixels).copy(), one.valid, one.modality))[0]
    expected = np.rot90(described(one)[0], axes=(1, 2))
    assert np.allclose(turned[:2], -expected[:2], atol=1e-5)
    assert np.allclose(turned[2], expected[2], atol=1e-5)


def test_the_gradient_is_that_of_a_ramp():
    """Of a plane that rises towards the lower right: 45 degrees, doubled 90."""
    y, x = np.mgrid[:40, :40]
    ramp = Patch((x + y).astype(np.float32), np.ones((40, 40), bool), Modality.OPTICAL)
    cosine, sine, strength = described(ramp)[0][:, 20, 20]
    assert (cosine, sine) == pytest.approx((0, strength), abs=1e-4)
    assert strength == pytest.approx(1 / 1.5, abs=0.02)  # all gradients are alike, the floor is half of them


def test_box_sums_are_sums_over_squares():
    image = np.arange(400, dtype=np.float32).reshape(20, 20)
    boxes = Boxes(floats(8, 20), floats(10), 8, (20, 20))
    expected = np.array([image[4:12, 6:14].sum(), image[16:, 6:14].sum()])[:, None]
    assert np.allclose(boxes.sums(image), expected)
    blocks = image.reshape(5, 4, 5, 4).mean((1, 3))
    assert np.allclose(boxes.block_sums(blocks), expected, rtol=0.01)


def test_box_sums_weigh_the_blocks_on_a_template_s_edge():
    boxes = Boxes(floats(5), floats(10), 6, (20, 20))
    assert boxes.sums(np.ones((20, 20), np.float32)).item() == 36


def test_scores_are_masked_normalised_correlations():
    """Against each template cut out and correlated on its own; the energies are exact at every fourth pixel."""
    rng = np.random.default_rng(0)
    size, radius, shape = 16, 8, (48, 44)
    valid = [np.ones(shape, np.float32) for _ in range(2)]
    valid[0][20:30, 20:28], valid[1][:, :9] = 0, 0
    stacks = [np.float32(rng.normal(size=(3, *shape))) * mask for mask in valid]
    boxes = Boxes(floats(16, 28), floats(16, 24), size, shape)
    score = correlate(stacks[0], valid[0], stacks[1], valid[1], boxes, radius, 0.2)

    def cut(image, row, col):
        return image[..., row - 8 : row + 8, col - 8 : col + 8]

    for i, j, dy, dx in itertools.product((0, 1), (0, 1), (-8, -4, 0, 4), (-8, 0, 4, 8)):
        row, col = int(boxes.rows[i]), int(boxes.cols[j])
        ours, our_mask = cut(stacks[0], row, col), cut(valid[0], row, col)
        theirs, their_mask = cut(stacks[1], row + dy, col + dx), cut(valid[1], row + dy, col + dx)
        energy = (ours**2 * their_mask).sum() * (theirs**2 * our_mask).sum()
        enough = (our_mask * their_mask).sum() > 0.2 * size**2
        expected = (ours * theirs).sum() / np.sqrt(energy) if enough else -1
        assert score[i, j, radius + dy, radius + dx] == pytest.approx(expected, abs=0.02)


def test_a_shifted_window_correlates_perfectly_at_its_shift():
    stack, support = described(patch(scenery()))
    boxes = Boxes(floats(90, 140), floats(100), 64, (256, 256))
    moved_stack, moved_support = np.roll(stack, (3, -5), (1, 2)), np.roll(support, (3, -5), (0, 1))
    score = correlate(stack, support, moved_stack, moved_support, boxes, 8, 0.5)
    peaks = find_peaks(score.reshape(2, 17, 17))
    assert np.allclose(peaks.shift_xy, [[-5.0, 3.0], [-5.0, 3.0]], atol=0.06)
    assert peaks.score == pytest.approx(1.0, abs=3e-3)


def test_a_match_that_is_not_returned_misses():
    """Three templates 10 px apart; the middle one is claimed by its neighbour's better correlation."""
    boxes = Boxes(floats(20), floats(10, 20, 30), 8, (40, 40))
    score = np.zeros((1, 3, 21, 21), np.float32)
    score[0, :, 10, 10] = 0.5, 0.2, 0.5
    score[0, 1, 10, 20] = 0.4  # 20 -> 30, but what lies at 30 goes back to 30
    assert misses_on_return(score, boxes).tolist() == [0.0, 10.0, 0.0]


def test_windows_need_not_be_whole_blocks():
    stack, support = described(patch(scenery()[:250, :239]))
    boxes = Boxes(floats(90, 200), floats(100, 180), 64, (250, 239))
    moved_stack, moved_support = np.roll(stack, (2, 4), (1, 2)), np.roll(support, (2, 4), (0, 1))
    score = correlate(stack, support, moved_stack, moved_support, boxes, 5, 0.5)
    assert np.allclose(find_peaks(score.reshape(4, 11, 11)).shift_xy, [4.0, 2.0], atol=0.06)


def test_a_peak_on_the_edge_of_the_search_is_ambiguous():
    score = np.zeros((1, 9, 9), np.float32)
    score[0, 4, 8] = 1.0
    assert find_peaks(score).ratio.item() == 1.0


def test_a_black_border_does_not_attract_the_peak():
    """Both images have a border at different places; without masks the borders would match one another."""
    pixels = scenery(256)
    reference, moving = patch(pixels), moved(pixels, shift_by(9, -6))
    hole = np.ones(moving.shape, bool)
    hole[:, :90] = False
    found = StructuralMatcher(StructuralSettings(search_px=12)).match(
        [PatchPair(patch(moving, hole), reference)]
    )[0]
    offset = found.moving_xy - found.reference_xy
    assert len(found) > 10
    assert np.median(np.abs(offset - (9, -6))) < 0.2


@pytest.mark.parametrize("shift", [(0.0, 0.0), (5.3, -3.6), (-10.5, 8.25)])
def test_shifts_are_found_to_a_tenth_of_a_pixel_whatever_the_contrast(shift):
    pixels = scenery()
    moving = -moved(pixels, shift_by(*shift))
    found = StructuralMatcher(StructuralSettings(search_px=12)).match(
        [PatchPair(patch(moving), patch(pixels))]
    )[0]
    offset = found.moving_xy - found.reference_xy
    assert np.abs(np.median(offset, axis=0) - shift).max() < 0.1
    assert (np.abs(offset - shift).max(1) < 1).mean() > 0.9


def test_speckle_leaves_most_matches_right():
    pixels = scenery(320)
    speckle = np.random.default_rng(0).gamma(4, 0.25, pixels.shape)
    sar = np.log(np.exp(0.5 * moved(pixels, shift_by(4, 7))) * speckle).astype(np.float32)
    pair = PatchPair(patch(sar, modality=Modality.SAR), patch(pixels))
    found = StructuralMatcher(StructuralSettings(search_px=12)).match([pair])[0]
    assert (np.abs(found.moving_xy - found.reference_xy - (4, 7)).max(1) < 2).mean() > 0.8


def test_nothing_matches_between_unrelated_or_empty_windows():
    one, other = patch(scenery(seed=1)), patch(scenery(seed=2))
    empty = Patch(np.zeros((256, 256), np.float32), np.zeros((256, 256), bool), Modality.OPTICAL)
    matcher = StructuralMatcher(StructuralSettings(search_px=12))
    assert len(matcher.match([PatchPair(empty, one)])[0]) == 0
    truth = matcher.match([PatchPair(one, one)])[0]
    assert len(matcher.match([PatchPair(other, one)])[0]) < 0.5 * len(truth)


def test_windows_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="not one frame"):
        StructuralMatcher().match([PatchPair(patch(scenery(64)), patch(scenery(48)))])


def test_windows_smaller_than_a_template_do_not_break():
    one = patch(scenery(48))
    assert len(StructuralMatcher().match([PatchPair(one, one)])[0]) >= 0


@pytest.mark.parametrize(("rotation", "scale"), [(0, 1.0), (40, 0.8), (170, 1.25), (-100, 0.6)])
def test_the_sweep_finds_rotation_and_scale(rotation, scale):
    pixels = scenery(320, seed=3)
    c, s = scale * np.cos(np.radians(rotation)), scale * np.sin(np.radians(rotation))
    truth = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    truth[:2, 2] = 160 - truth[:2, :2] @ (160, 160)
    reference = moved(pixels, truth)
    valid = moved(np.ones_like(pixels), truth) > 0.5
    found = sweep(
        patch(pixels),
        patch(reference, valid),
        range(0, 360, 10),
        (0.6, 0.8, 1.0, 1.25),
        SweepSettings(keep=3),
    )
    corners = np.array([[60, 60, 1], [260, 60, 1], [260, 260, 1], [60, 260, 1.0]])
    error = np.linalg.norm((corners @ (found[0].matrix - truth).T)[:, :2], axis=1).mean()
    assert error < 12


def test_hypotheses_are_distinct_and_sorted():
    one = patch(scenery(200))
    found = sweep(one, one, range(0, 360, 20), (0.9, 1.0), SweepSettings(keep=5))
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert len({(h.rotation_deg, h.scale) for h in found}) == len(found)
