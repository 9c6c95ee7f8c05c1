"""For processes that have this folder on their path: `gs://` is the folder $BUCKETS."""

from __future__ import annotations

import importlib

import wrapt

wrapt.register_post_import_hook(
    lambda _: importlib.import_module("folder_bucket"), "tfx.dsl.io.fileio"
)
