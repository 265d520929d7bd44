import pytest
import torch

from georeg.network.attention import Aggregation, AttentionLayer, Interaction, rotary_table, rotate
from georeg.network.config import CONFIGS


def test_rotary_products_depend_on_the_distance_alone():
    query, key = torch.randn(1, 8), torch.randn(1, 8)
    table = rotary_table(9, 9, 1.0, 8, torch.device("cpu"))

    def product(at_query, at_key):
        turned = [
            rotate(t, tuple(part[at : at + 1] for part in table))
            for t, at in ((query, at_query), (key, at_key))
        ]
        return (turned[0] * turned[1]).sum()

    near = product(2 * 9 + 3, 4 * 9 + 4)
    torch.testing.assert_close(product(4 * 9 + 5, 6 * 9 + 6), near, atol=1e-5, rtol=1e-5)
    assert abs(product(2 * 9 + 3, 4 * 9 + 7) - near) > 1e-3


@pytest.mark.parametrize("reduction", [1, 2, 4])
def test_aggregation_keeps_the_mean_of_a_constant(reduction):
    aggregated = Aggregation(4, reduction)(torch.ones(1, 16, 16, 4))
    assert aggregated.shape == (1, 16 // reduction, 16 // reduction, 4)
    assert aggregated[0, 1:, 1:].allclose(torch.ones(()))


@torch.inference_mode()
def test_masked_cells_of_the_source_have_no_say():
    torch.manual_seed(0)
    layer = AttentionLayer(16, 2, 1, rotary=False).eval()
    x, source = torch.randn(1, 4, 4, 16), torch.randn(1, 4, 4, 16)
    mask = torch.ones(1, 1, 1, 16, dtype=torch.bool)
    mask[..., 5] = False
    before = layer(x, source, mask)
    source[0, 1, 1] += 10
    torch.testing.assert_close(layer(x, source, mask), before)
    assert not torch.allclose(layer(x, source, None), before)


@torch.inference_mode()
def test_images_of_one_size_may_be_stacked():
    torch.manual_seed(0)
    interaction = Interaction(CONFIGS["tiny"]).eval()
    x0, x1 = torch.randn(1, 4, 6, 96), torch.randn(1, 4, 6, 96)
    valid = torch.ones(1, 4, 6, dtype=torch.bool)
    together = interaction(x0, x1, valid, valid)
    mask = interaction.key_mask(valid)
    for self_layer, cross_layer in zip(interaction.self_layers, interaction.cross_layers, strict=True):
        x0, x1 = self_layer(x0, x0, mask), self_layer(x1, x1, mask)
        x0, x1 = cross_layer(x0, x1, mask), cross_layer(x1, x0, mask)
    torch.testing.assert_close(together, (x0, x1), atol=1e-5, rtol=1e-5)


def test_an_image_without_a_valid_cell_gives_finite_numbers():
    interaction = Interaction(CONFIGS["tiny"]).eval()
    x = torch.randn(1, 2, 2, 96)
    none = torch.zeros(1, 2, 2, dtype=torch.bool)
    assert all(t.isfinite().all() for t in interaction(x, x, none, none))
