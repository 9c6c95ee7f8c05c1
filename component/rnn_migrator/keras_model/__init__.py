"""Canonical models as `tf.keras` models: own layers, building, export, reload."""
