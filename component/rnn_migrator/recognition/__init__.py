"""What tensors, names and configs mean: from an artifact to a canonical model."""
