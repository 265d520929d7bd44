"""What a registration holds in memory: no needless imports, and no more windows for more tiles."""

import os
import subprocess
import sys
import time

import pytest

from georeg.geometry.transforms import MatrixTransform
from georeg.matching.protocol import Correspondences
from georeg.raster import SceneReader, open_scene
from georeg.registration.detail import match_tiles
from georeg.registration.frames import Frame, Viewer
from georeg.registration.matchers import TileStage

SELDOM_NEEDED = {"scipy", "pyogrio", "matplotlib", "distributed"}


def test_matching_imports_nothing_that_it_seldom_needs(small_pair):
    code = (
        "import sys; from georeg_cli.main import cli\n"
        f"try: cli(['match', {str(small_pair.moving)!r}, {str(small_pair.reference)!r}, '-q'])\n"
        f"except SystemExit as end: print(end.code, 'loaded:', {SELDOM_NEEDED} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), timeout=120
    )
    assert "0 loaded: set()" in done.stdout, done.stdout + done.stderr


def test_matching_a_well_geocoded_pair_imports_no_torch(small_pair):
    code = (
        "import sys, georeg\n"
        f"found = georeg.register({str(small_pair.moving)!r}, {str(small_pair.reference)!r})\n"
        "print(found.quality.verdict, found.run['weights'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["pass", "small", "False"], done.stdout + done.stderr


@pytest.mark.parametrize(("threads", "ahead"), [(0, 1), (1, 2), (3, 4)])
def test_windows_of_a_few_tiles_are_held_however_many_are_matched(small_pair, threads, ahead):
    read, matched, most = [], [], []

    class Counting:
        name, weights_sha256 = "counting", None

        def match(self, pairs):
            time.sleep(0.005)
            matched.extend(pairs)
            return [Correspondences.empty() for _ in pairs]

    class Watched(Viewer):
        def reference_patch(self, frame):
            read.append(frame)
            most.append(len(read) - len(matched))
            return super().reference_patch(frame)

    matcher = Counting()
    tiles = TileStage(lambda uncertainty_px: matcher, 512, 96.0, usual_share=1.0, threads=threads, at_once=2)
    frames = tuple(Frame((16.0 * i, 8.0), 1.0, (32, 32)) for i in range(15))
    scenes = [open_scene(str(path)) for path in (small_pair.moving, small_pair.reference)]
    with SceneReader(scenes[0]) as moving, SceneReader(scenes[1]) as reference:
        found = match_tiles(Watched(moving, reference, None), frames, MatrixTransform.identity(), tiles, 4.0)
    assert len(found) == len(matched) == len(frames)
    assert max(most) <= 2 * ahead
