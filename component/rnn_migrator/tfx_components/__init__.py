"""The library as components of a TFX pipeline: they unpack, call, and record."""
