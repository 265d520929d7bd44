"""What comes with georeg: intact, described by its card, and able to match across a change of appearance."""

import re
from pathlib import Path

import numpy as np
import pytest

from georeg.matching.network import NetworkMatcher
from georeg.matching.protocol import PatchPair
from georeg.network.state import load_network
from georeg.network.weights import FOLDER, find_weights, shipped
from georeg.scene import Modality, Patch

CARD = Path(__file__).parents[2] / "docs" / "model_card.md"
LARGEST_BYTES = 16 * 1024**2


def fields(seed=0, size=320):
    """Fields with straight borders, as seen from above."""
    random = np.random.default_rng(seed)
    image = np.full((size, size), 0.4)
    for _ in range(120):
        y, x, h, w = *random.integers(0, size, 2), *random.integers(10, 70, 2)
        image[y : y + h, x : x + w] = random.uniform(0.1, 0.9)
    return image


def patch(image, modality=Modality.OPTICAL):
    pixels = (image - image.mean()) / image.std()
    return Patch(pixels.astype(np.float32), np.ones(image.shape, bool), modality)


def test_the_default_is_shipped_and_loads():
    assert shipped()
    load_network(find_weights())
    assert sum(path.stat().st_size for path in FOLDER.glob("*.safetensors")) < LARGEST_BYTES


@pytest.mark.parametrize("name", shipped())
def test_the_model_card_is_of_this_file(name):
    assert f"`{find_weights(name).sha256}`" in CARD.read_text()
    assert re.search(r"steps, pairs \| [\d,]+", CARD.read_text())


@pytest.mark.parametrize(
    "look",
    [
        lambda image, noise: image,
        lambda image, noise: 1 - image + 0.1 * noise,
        lambda image, noise: np.cos(5 * image) + 0.1 * noise,
    ],
    ids=["same", "inverted", "folded"],
)
def test_finds_a_known_shift_across_a_change_of_appearance(look):
    image, shift = fields(), np.array([22.0, 13.0])
    noise = np.random.default_rng(1).normal(size=image.shape)
    moving = patch(look(image, noise)[13:269, 22:278])
    found = NetworkMatcher(device="cpu").match([PatchPair(moving, patch(image[:256, :256]))])[0]
    best = found[np.argsort(-found.confidence)[:100]]
    error = np.linalg.norm(best.moving_xy + shift - best.reference_xy, axis=1)
    assert np.median(error) < 2.0
    assert (error < 4.0).mean() > 0.7
