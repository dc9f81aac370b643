"""Office files of before 2007, and Outlook messages: compound files (OLE)."""
