"""Component that compares a converted model with its source, on Beam."""
