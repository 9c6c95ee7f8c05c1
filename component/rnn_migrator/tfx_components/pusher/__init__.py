"""Component that pushes a blessed model, whole or not at all, and once."""
