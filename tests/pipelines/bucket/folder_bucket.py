"""Folders in the place of buckets, under the file access of TFX where TensorFlow's would be.

Like a bucket they hold neither links nor empty folders. Only what a run needs is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfx.dsl.io import filesystem_registry
from tfx.dsl.io.plugins.local import LocalFilesystem as Local

SCHEME = "gs://"


def _path(uri: str) -> str:
    assert uri.startswith(SCHEME), f"{uri} is in no bucket"
    return str(Path(os.environ["BUCKETS"], uri.removeprefix(SCHEME)))


def _new(uri: str) -> str:
    Path(_path(uri)).parent.mkdir(parents=True, exist_ok=True)
    return _path(uri)


class Bucket(Local):
    SUPPORTED_SCHEMES = (SCHEME,)

    @staticmethod
    def open(name: str, mode: str = "r") -> Any:
        return Local.open(_new(name) if "w" in mode else _path(name), mode)

    @staticmethod
    def copy(src: str, dst: str, overwrite: bool = False) -> None:
        Local.copy(_path(src), _new(dst), overwrite)

    @staticmethod
    def exists(path: str) -> bool:
        return Local.exists(_path(path))

    @staticmethod
    def isdir(path: str) -> bool:
        return Local.isdir(_path(path))

    @staticmethod
    def listdir(path: str) -> list[str]:
        return Local.listdir(_path(path))

    @staticmethod
    def makedirs(path: str) -> None:
        del path

    @staticmethod
    def rmtree(path: str) -> None:
        Local.rmtree(_path(path))

    @staticmethod
    def walk(top: str, topdown: bool = True, onerror: Any = None) -> Iterable[Any]:
        for folder, folders, files in Local.walk(_path(top), topdown, onerror):
            yield "/".join((top, *Path(folder).relative_to(_path(top)).parts)), folders, files


filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(Bucket, priority=0)
