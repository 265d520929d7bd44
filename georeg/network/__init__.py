"""The matching network: backbone, attention, coarse and fine matching, modality token, and the shipped weights.

What can be known of a network without PyTorch (its shape, its weights' file) is imported without it.
"""

from georeg.network.config import CONFIGS, NetworkConfig, config_by_name

__all__ = ["CONFIGS", "NetworkConfig", "config_by_name"]
