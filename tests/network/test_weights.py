import pytest
import torch
from safetensors.torch import save_file

from georeg.errors import InputError, ResourceError, UsageError
from georeg.network import CONFIGS
from georeg.network.model import MatchingNetwork
from georeg.network.state import load_network, save_weights
from georeg.network.weights import find_weights, sha256_of


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = MatchingNetwork(CONFIGS["tiny"])
    path = tmp_path / "mine.safetensors"
    save_weights(path, network.state_dict(), network.config, {"steps": "3"})
    return network, path


def test_weights_come_back(saved):
    network, path = saved
    weights = find_weights(path)
    assert (weights.name, weights.config, dict(weights.notes)) == ("mine", network.config, {"steps": "3"})
    assert weights.sha256 == sha256_of(path)
    for name, tensor in load_network(weights).state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])


def test_half_precision_on_disk_is_widened(saved, tmp_path):
    network, path = saved
    half = tmp_path / "half.safetensors"
    save_weights(half, network.state_dict(), network.config, {}, half=True)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    assert all(t.dtype != torch.float16 for t in load_network(find_weights(half)).state_dict().values())


def test_unknown_name():
    with pytest.raises(UsageError, match="no weights 'nonsense'"):
        find_weights("nonsense")


def test_not_safetensors(tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"not at all")
    with pytest.raises(InputError, match="not a readable safetensors"):
        find_weights(path)


def test_truncated(saved):
    _, path = saved
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="not a readable safetensors"):
        find_weights(path)


def test_somebody_elses_tensors(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(InputError, match="holds no georeg network"):
        find_weights(path)


def test_tensors_of_another_network(saved, tmp_path):
    network, _ = saved
    path = tmp_path / "mixed.safetensors"
    save_weights(path, network.state_dict(), CONFIGS["base"], {})
    with pytest.raises(InputError, match="does not fit network 'base'"):
        load_network(find_weights(path))


def test_an_older_file_survives_a_failed_write(saved, monkeypatch):
    network, path = saved
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("georeg.network.state.save_file", full)
    with pytest.raises(ResourceError, match="No space left"):
        save_weights(path, network.state_dict(), network.config, {})
    assert path.read_bytes() == before
