"""Training of the matching network on unlabelled scenes."""
