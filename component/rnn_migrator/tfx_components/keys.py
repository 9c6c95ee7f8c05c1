"""Keys under which components and executors find inputs, outputs and execution properties."""

from __future__ import annotations

LEGACY_MODEL = "legacy_model"
MODEL = "model"
BLESSING = "blessing"
EVALUATION = "evaluation"

SETTINGS = "settings"
LAYERS = "layers"
TARGET = "target"
STRICT = "strict"
EXAMPLES_SIGNATURE = "examples_signature"
ARCHITECTURE = "architecture"
ARCHITECTURE_SHA256 = "architecture_sha256"
GOLDEN = "golden"
EXAMPLES = "examples"
SCHEMA = "schema"
DATA = "data"
THRESHOLDS = "thresholds"
CONVERTER_VERSION = "converter_version"

# As in tfx.components.evaluator.constants, whose import brings all of TFX's components along.
BLESSED = "blessed"
"""Custom property of a blessing, 1 or 0; all that Pusher reads."""
CURRENT_MODEL = "current_model"
CURRENT_MODEL_ID = "current_model_id"
BLESSED_FILE = "BLESSED"
NOT_BLESSED_FILE = "NOT_BLESSED"
