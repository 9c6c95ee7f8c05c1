"""What models are compared on: recorded pairs, data sets, probes, and a search for the worst input.

Each is `Material`, which gives cases: batches of inputs for one signature.
"""
