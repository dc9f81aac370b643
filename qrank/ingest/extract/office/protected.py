"""Workbooks that Excel encrypts with its own built-in password when they are only protected
against changes: whoever opens them is asked for nothing. ([MS-OFFCRYPTO] 2.4.2.3 and [MS-XLS]
2.2.10; msoffcrypto-tool, of the extra `encrypted`, decrypts them.)"""

from __future__ import annotations

import io
from typing import BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.office.older import compound

_BUILT_IN = "VelvetSweatshop"


def decrypted(file: BinaryIO) -> BinaryIO:
    """The workbook behind the built-in password. Raises ExtractError where it has another one,
    or where msoffcrypto-tool is not installed."""
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
    except Exception as error:  # (what it raises for damaged files is anything)
        raise ExtractError("encrypted") from error
    if not plain.getvalue().startswith((b"PK", compound.MAGIC)):  # another password gives noise
        raise ExtractError("encrypted")
    plain.seek(0)
    return plain
