"""Component that converts a legacy model."""
