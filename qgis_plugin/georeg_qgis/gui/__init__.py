"""The panel, the settings page and what they are made of."""
