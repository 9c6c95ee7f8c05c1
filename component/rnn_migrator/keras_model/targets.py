"""Where a converted model is to run, and what that means for its layers."""

from __future__ import annotations

import enum


class Target(str, enum.Enum):
    """The kinds of machine a model can be converted for.

    cpu: stock layers, no cuDNN op anywhere.
    gpu: cuDNN for every eligible layer.
    portable: both in one model; the machine that runs it chooses.
    """

    CPU = "cpu"
    GPU = "gpu"
    PORTABLE = "portable"
