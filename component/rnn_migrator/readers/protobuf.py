"""Messages of protobuf out of files that may hold anything."""

from __future__ import annotations

import warnings
from typing import Any


def parse(message: Any, content: bytes) -> Any:
    """A message from its bytes.

    Args:
      message: Its class.
      content: What should be one.

    Raises:
      ValueError: It is none.
    """
    from google.protobuf.message import DecodeError

    try:
        with warnings.catch_warnings(record=True) as left_over:
            warnings.simplefilter("always")
            parsed = message.FromString(content)
    except DecodeError as e:
        raise ValueError(str(e)) from e
    # Some releases of protobuf only warn of bytes that they did not understand.
    for warning in left_over:
        raise ValueError(str(warning.message))
    return parsed
