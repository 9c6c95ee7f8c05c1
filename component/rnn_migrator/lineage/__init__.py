"""Where every tensor and every model came from, and how to ask."""
