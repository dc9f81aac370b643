"""Workbooks encrypted with Excel's built-in password, which Excel uses for those that are only
protected against changes; they open without a password.

Formats: [MS-OFFCRYPTO] 2.4.2.3 and [MS-XLS] 2.2.10. They are decrypted by msoffcrypto-tool, in the
extra `encrypted`.
"""

from __future__ import annotations

import io
from typing import BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.office.older import compound

_BUILT_IN = "VelvetSweatshop"


def decrypted(file: BinaryIO) -> BinaryIO:
    """Decrypt a workbook with the built-in password. Raises ExtractError when it has another one,
    or msoffcrypto-tool is not installed."""
    try:
        import msoffcrypto
    except ImportError:
        raise ExtractError("encrypted") from None
    plain = io.BytesIO()
    try:
        office = msoffcrypto.OfficeFile(file)
        office.load_key(password=_BUILT_IN)
        office.decrypt(plain)
    except MemoryError:
        raise
    except Exception as error:  # it may raise anything for damaged files
        raise ExtractError("encrypted") from error
    if not plain.getvalue().startswith((b"PK", compound.MAGIC)):  # it has another password
        raise ExtractError("encrypted")
    plain.seek(0)
    return plain
