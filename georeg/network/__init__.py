"""The matching network: backbone, attention, coarse and fine matching, modality token, and the shipped weights."""

from georeg.network.config import CONFIGS, NetworkConfig, config_by_name
from georeg.network.model import MatchingNetwork, PairFeatures

__all__ = ["CONFIGS", "MatchingNetwork", "NetworkConfig", "PairFeatures", "config_by_name"]
