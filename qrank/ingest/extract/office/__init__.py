"""Office documents: Office Open XML, OpenDocument, and the formats before them."""
