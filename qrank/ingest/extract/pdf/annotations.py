"""Annotations of PDF pages, which are not in pdfium's text: values of form fields, notes, free
text, attached files.

Formats: ISO 32000-2, 12.5 (annotations), 12.7 (forms).
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qrank.ingest.extract.building import blanks_made_one, clean, one_line

if TYPE_CHECKING:
    from pypdfium2 import PdfAttachment, PdfDocument, PdfPage, PdfTextPage

MOST = 10_000  # annotations of a page, options of a choice field
MAX_LENGTH = 1 << 20  # bytes of one value
_PASSWORD = 1 << 13  # the flag of password fields
_TAG = re.compile(r"<[^<>]{0,2000}>")


@dataclass(slots=True)
class Overlay:
    """The annotations of a page: form fields as "label: value", texts of notes, attached files."""

    fields: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[PdfAttachment] = field(default_factory=list)


def overlay(pdf: PdfDocument, page: PdfPage, text: PdfTextPage) -> Overlay:
    """The annotations of a page. For values of form fields, call pdf.init_forms() before."""
    import pypdfium2
    import pypdfium2.raw as pdfium

    result = Overlay()
    for i in range(min(pdfium.FPDFPage_GetAnnotCount(page), MOST)):
        annotation = pdfium.FPDFPage_GetAnnot(page, i)
        if not annotation:
            continue
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        if kind == pdfium.FPDF_ANNOT_WIDGET:
            value = _field(pdf.formenv, annotation)
            if value and value not in result.fields:
                result.fields.append(value)
        elif kind != pdfium.FPDF_ANNOT_LINK:
            value = _note(annotation, text)
            if value and value not in result.notes:  # a popup repeats its note
                result.notes.append(value)
        if kind == pdfium.FPDF_ANNOT_FILEATTACHMENT:
            file = pdfium.FPDFAnnot_GetFileAttachment(annotation)
            if file:
                result.files.append(pypdfium2.PdfAttachment(file, pdf))
        pdfium.FPDFPage_CloseAnnot(annotation)
    return result


def _note(annotation: Any, text: PdfTextPage) -> str:
    """The text of an annotation: its contents, else its rich text, else that of its appearance."""
    comment = _value(annotation, b"Contents") or _TAG.sub(" ", _value(annotation, b"RC"))
    if not comment.strip():
        comment = _appearance(annotation, text)
    return blanks_made_one(clean(comment.replace("\r\n", "\n").replace("\r", "\n"))).strip()


def _appearance(annotation: Any, text: PdfTextPage) -> str:
    import pypdfium2.raw as pdfium

    pieces = []
    for i in range(min(pdfium.FPDFAnnot_GetObjectCount(annotation), MOST)):
        item = pdfium.FPDFAnnot_GetObject(annotation, i)
        if item and pdfium.FPDFPageObj_GetType(item) == pdfium.FPDF_PAGEOBJ_TEXT:
            pieces.append(_string(lambda *to, it=item: pdfium.FPDFTextObj_GetText(it, text, *to)))
    return " ".join(pieces)


def _field(forms: Any, annotation: Any) -> str:
    """A form field as "label: value"; empty for empty and password fields, buttons, signatures."""
    import pypdfium2.raw as pdfium

    if not forms:  # no form environment: use the raw value
        return one_line(_value(annotation, b"V"))
    kind = pdfium.FPDFAnnot_GetFormFieldType(forms, annotation)
    flags = pdfium.FPDFAnnot_GetFormFieldFlags(forms, annotation)
    text = ""
    if kind in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
        if pdfium.FPDFAnnot_IsChecked(forms, annotation):
            get = pdfium.FPDFAnnot_GetFormFieldExportValue
            text = _string(lambda *to: get(forms, annotation, *to)) or "on"
    elif kind in (pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX):
        text = ", ".join(_selected_options(forms, annotation))
    elif kind != pdfium.FPDF_FORMFIELD_TEXTFIELD or flags & _PASSWORD:
        return ""
    if not text and kind not in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
        get = pdfium.FPDFAnnot_GetFormFieldValue
        text = _string(lambda *to: get(forms, annotation, *to))
    text = one_line(text)
    label = text and _label(forms, annotation)
    return f"{label}: {text}" if label else text


def _selected_options(forms: Any, annotation: Any) -> list[str]:
    import pypdfium2.raw as pdfium

    count = min(pdfium.FPDFAnnot_GetOptionCount(forms, annotation), MOST)
    get = pdfium.FPDFAnnot_GetOptionLabel
    return [
        _string(lambda *to, number=i: get(forms, annotation, number, *to))
        for i in range(count)
        if pdfium.FPDFAnnot_IsOptionSelected(forms, annotation, i)
    ]


def _label(forms: Any, annotation: Any) -> str:
    """The label of a field: its alternate name, which is for users, else the last part of its
    name."""
    import pypdfium2.raw as pdfium

    alternate_name = pdfium.FPDFAnnot_GetFormFieldAlternateName
    text = _string(lambda *to: alternate_name(forms, annotation, *to))
    if not text.strip():
        field_name = pdfium.FPDFAnnot_GetFormFieldName
        name = _string(lambda *to: field_name(forms, annotation, *to))
        text = re.sub(r"\[\d+\]$", "", name.rpartition(".")[2])
    return one_line(text).rstrip(":")


def _value(annotation: Any, key: bytes) -> str:
    import pypdfium2.raw as pdfium

    return _string(lambda *to: pdfium.FPDFAnnot_GetStringValue(annotation, key, *to))


def _string(get: Callable[..., int]) -> str:
    """A string from pdfium; get(buffer, size): fills a buffer, and returns the size in bytes."""
    size = min(get(None, 0), MAX_LENGTH)
    if size <= 2:  # only the NUL at its end
        return ""
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    get(buffer, size)
    return bytes(buffer)[: size - size % 2].decode("utf-16-le", "ignore").split("\0")[0]
