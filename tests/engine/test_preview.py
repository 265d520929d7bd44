"""The contact sheet is a readable PNG with a row for each look and rows as training draws them."""

from __future__ import annotations

import torch
from PIL import Image

from georeg.engine.engine import DataEngine, EngineConfig
from georeg.engine.preview import LABEL_PX, undo, write_preview

SMALL = EngineConfig(view_px=64, source_px=256)


def test_sheet_has_a_row_for_each_look(small_archive, tmp_path):
    path = write_preview(small_archive, tmp_path / "sheet.png", SMALL, pairs_per_look=2, mixed_rows=3)
    engine = DataEngine(small_archive, SMALL)
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"
        assert sheet.size == (2 * 4 * 68, (len(engine.bank) + 3) * (68 + LABEL_PX))


def test_undoing_the_warp_puts_view1_onto_view0(small_archive):
    config = EngineConfig(view_px=64, source_px=256, appearance=False, real_share=0.0, clutter_share=0.0)
    engine = DataEngine(small_archive, config, "cpu", torch.Generator().manual_seed(0))
    batch = engine.batch(6)
    for row in range(6):
        back = undo(batch, row)
        seen = ~back.isnan()
        assert torch.corrcoef(torch.stack([back[seen], batch.view0[row, 0][seen]]))[0, 1] > 0.85
