"""A tiny archive on disk and a run of a few steps."""

import numpy as np
import pytest
import torch
from PIL import Image

from georeg.training.config import Stage, TrainingConfig


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order, so that a resumed run gives the same numbers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def blocks(seed, size=160):
    random = np.random.default_rng(seed)
    image = np.full((size, size), 90.0)
    for _ in range(40):
        y, x, h, w = *random.integers(0, size, 2), *random.integers(8, 60, 2)
        image[y : y + h, x : x + w] = random.uniform(20, 235)
    return np.clip(image + random.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Six small scenes of two sources, and a file that is none."""
    folder = tmp_path_factory.mktemp("scenes")
    for source in ("here", "there"):
        (folder / "optical" / source).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(blocks(index)).save(folder / "optical" / source / f"{index}.png")
    (folder / "optical" / "here" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    return folder


@pytest.fixture
def config_file(tmp_path):
    """Two stages of a few steps."""
    easy = {"batch": 2, "crop_px": 64, "warmup": 2, "learning_rate": 2e-3, "real_share": 0.0}
    config = TrainingConfig(
        network="tiny",
        stages=(Stage("pretrain", 4, appearance=False, **easy), Stage("finetune", 4, **easy)),
        log_every=1,
        validate_every=4,
        validation_batches=1,
    )
    path = tmp_path / "config.json"
    path.write_text(config.to_json())
    return path
