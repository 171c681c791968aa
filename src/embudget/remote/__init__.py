"""Folders at URLs: `s3://`, `gs://`, and whatever else fsspec reads.

A folder is put with a manifest of its hashes last, so that readers see all of it or nothing, and fetched once a
machine, by its content. Buckets have no renames, which is how `embudget.files` does the same on a disk.
"""

from embudget.remote.address import FolderOrUrl, check_secrets, folder_or_url, is_url
from embudget.remote.attempts import attempt
from embudget.remote.fetching import fetch_folder, fetched_before, local_copy
from embudget.remote.folders import (
    Manifest,
    check_replaceable_url,
    check_writable_url,
    put_folder,
    read_manifest,
    remove_folder,
)

__all__ = [
    "FolderOrUrl",
    "Manifest",
    "attempt",
    "check_replaceable_url",
    "check_secrets",
    "check_writable_url",
    "fetch_folder",
    "fetched_before",
    "folder_or_url",
    "is_url",
    "local_copy",
    "put_folder",
    "read_manifest",
    "remove_folder",
]
