"""Annotations of PDF pages: values of form fields, notes, free text, attached files.

pdfium's text of a page has none of it. The formats: ISO 32000-2, 12.5 (annotations), 12.7 (forms).
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

MOST = 10_000  # annotations of a page, options of a choice
MAX_LENGTH = 1 << 20  # bytes of one value
_PASSWORD = 1 << 13  # a flag of fields whose value nobody is to see
_TAG = re.compile(r"<[^<>]{0,2000}>")


@dataclass(slots=True)
class Overlay:
    """What lies over a page: fields as "label: value", the texts of annotations, files."""

    fields: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[PdfAttachment] = field(default_factory=list)


def overlay(pdf: PdfDocument, page: PdfPage, text: PdfTextPage) -> Overlay:
    """What lies over a page; for the values of fields its document's forms are initialised."""
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
    """The text of an annotation: its contents, its rich text, or what its appearance shows."""
    comment = _value(annotation, b"Contents") or _TAG.sub(" ", _value(annotation, b"RC"))
    if not comment.strip():
        comment = _shown(annotation, text)
    return blanks_made_one(clean(comment.replace("\r\n", "\n").replace("\r", "\n"))).strip()


def _shown(annotation: Any, text: PdfTextPage) -> str:
    import pypdfium2.raw as pdfium

    pieces = []
    for i in range(min(pdfium.FPDFAnnot_GetObjectCount(annotation), MOST)):
        drawn = pdfium.FPDFAnnot_GetObject(annotation, i)
        if drawn and pdfium.FPDFPageObj_GetType(drawn) == pdfium.FPDF_PAGEOBJ_TEXT:
            pieces.append(_string(lambda *to, it=drawn: pdfium.FPDFTextObj_GetText(it, text, *to)))
    return " ".join(pieces)


def _field(forms: Any, annotation: Any) -> str:
    """A form field as "label: value"; empty for one that is empty, a button, a signature."""
    import pypdfium2.raw as pdfium

    if not forms:  # of no form: what it says by itself
        return one_line(_value(annotation, b"V"))
    kind = pdfium.FPDFAnnot_GetFormFieldType(forms, annotation)
    flags = pdfium.FPDFAnnot_GetFormFieldFlags(forms, annotation)
    text = ""
    if kind in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
        if pdfium.FPDFAnnot_IsChecked(forms, annotation):
            get = pdfium.FPDFAnnot_GetFormFieldExportValue
            text = _string(lambda *to: get(forms, annotation, *to)) or "on"
    elif kind in (pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX):
        text = ", ".join(_chosen(forms, annotation))
    elif kind != pdfium.FPDF_FORMFIELD_TEXTFIELD or flags & _PASSWORD:
        return ""
    if not text and kind not in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
        get = pdfium.FPDFAnnot_GetFormFieldValue
        text = _string(lambda *to: get(forms, annotation, *to))
    text = one_line(text)
    label = text and _label(forms, annotation)
    return f"{label}: {text}" if label else text


def _chosen(forms: Any, annotation: Any) -> list[str]:
    import pypdfium2.raw as pdfium

    count = min(pdfium.FPDFAnnot_GetOptionCount(forms, annotation), MOST)
    get = pdfium.FPDFAnnot_GetOptionLabel
    return [
        _string(lambda *to, number=i: get(forms, annotation, number, *to))
        for i in range(count)
        if pdfium.FPDFAnnot_IsOptionSelected(forms, annotation, i)
    ]


def _label(forms: Any, annotation: Any) -> str:
    """What a field is called: the name that people are shown, else the last part of its own."""
    import pypdfium2.raw as pdfium

    shown = pdfium.FPDFAnnot_GetFormFieldAlternateName
    text = _string(lambda *to: shown(forms, annotation, *to))
    if not text.strip():
        own = pdfium.FPDFAnnot_GetFormFieldName
        name = _string(lambda *to: own(forms, annotation, *to))
        text = re.sub(r"\[\d+\]$", "", name.rpartition(".")[2])
    return one_line(text).rstrip(":")


def _value(annotation: Any, key: bytes) -> str:
    import pypdfium2.raw as pdfium

    return _string(lambda *to: pdfium.FPDFAnnot_GetStringValue(annotation, key, *to))


def _string(get: Callable[..., int]) -> str:
    """A string of pdfium's; get: fills a buffer of so many bytes, and says how many it takes."""
    size = min(get(None, 0), MAX_LENGTH)
    if size <= 2:  # the NUL at its end alone
        return ""
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    get(buffer, size)
    return bytes(buffer)[: size - size % 2].decode("utf-16-le", "ignore").split("\0")[0]
