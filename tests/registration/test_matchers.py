"""The order in which the network's guesses are made."""

import numpy as np
import pytest

from georeg.matching.protocol import Correspondences
from georeg.registration import matchers
from georeg.registration.guesses import CLOSER_PX, RANKING_PX, centred, ranked
from georeg.registration.matchers import Wanted
from georeg.scene import Modality, Patch


class Seen:
    """Matches nothing, or what is in place, and keeps the sizes it was shown."""

    name = "network"
    weights_sha256 = None

    def __init__(self, finds=False):
        self.finds, self.shapes = finds, []

    def coarse(self):
        return self

    def match(self, pairs):
        self.shapes += [pair.reference.shape for pair in pairs]
        return [self.in_place(pair) if self.finds else Correspondences.empty() for pair in pairs]

    def in_place(self, pair):
        """Matches that are exact where the moving window shows anything, noise elsewhere."""
        rng = np.random.default_rng(0)
        points = rng.uniform(0, pair.reference.shape[0], (200, 2))
        shown = pair.moving.valid[tuple(points.astype(int).T[::-1])]
        places = np.where(shown[:, None], points, rng.uniform(0, pair.reference.shape[0], (200, 2)))
        return Correspondences(points, places, np.ones(200))


def window(rows=400, cols=400):
    pixels = np.random.default_rng(0).normal(size=(rows, cols)).astype(np.float32)
    return Patch(pixels, np.ones(pixels.shape, bool), Modality.OPTICAL)


def looks(rotations, scales):
    """(guesses, side of the reference) of each attempt that ranks."""
    network = Seen()
    wanted = Wanted(window(), window(), None, rotations, scales)
    found = []
    for attempt in matchers._network_attempts(network)(wanted):
        if network.shapes:
            found.append((len(network.shapes), network.shapes[0][0]))
            assert attempt.hypotheses == []
        network.shapes.clear()
    return found


def test_small_images_first_then_a_closer_look():
    assert looks(range(0, 360, 10), [0.42, 1.0, 2.4]) == [
        (8, RANKING_PX),
        (16, RANKING_PX),
        (16, RANKING_PX),
        (24, CLOSER_PX),
    ]


def test_near_the_start_there_is_nothing_to_rank():
    assert looks([-8.0, 0.0, 8.0], [0.93, 1.0, 1.075]) == []


def test_the_most_certain_guess_comes_first():
    moving = reference = window()
    guesses = [centred(moving, reference, 0.0, scale) for scale in (0.4, 1.0, 0.7)]
    found = ranked(moving, reference, guesses, Seen(finds=True), 200)
    assert [guess.scale for guess in found] == [1.0, 0.7, 0.4]
    assert found[0].score == pytest.approx(max(guess.score for guess in found))
    np.testing.assert_allclose(found[0].matrix, np.eye(3), atol=0.05)


@pytest.mark.parametrize(
    ("last", "start", "enough"),
    [(None, None, 100.0), (None, np.eye(3), 24.0), (matchers.Round(Seen(), 3.5), None, 36.0)],
)
def test_the_network_compares_before_it_stops_unless_something_else_agrees(last, start, enough):
    wanted = Wanted(window(), window(), start, [0.0], [1.0])
    (first,) = matchers._network_attempts(Seen(), last)(wanted)
    assert first.enough == enough
