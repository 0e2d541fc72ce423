# SPDX-License-Identifier: Apache-2.0
"""Reads an archive with Python's zipfile and with PyTorch's reader: read_zip.py FILE; exit 1 when they object."""
import sys
import zipfile

import torch

path = sys.argv[1]
with zipfile.ZipFile(path) as archive:
    assert archive.testzip() is None
    expected = {i.filename.split("/", 1)[1]: archive.read(i) for i in archive.infolist()}
reader = torch._C.PyTorchFileReader(path)
for name, data in expected.items():
    assert reader.get_record(name) == data, name
    assert reader.get_record_offset(name) % 64 == 0, name
assert sorted(reader.get_all_records()) == sorted(expected)
