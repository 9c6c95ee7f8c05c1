"""Whether a converted model computes what its source computes: measured, and judged."""
