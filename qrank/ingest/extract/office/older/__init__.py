"""Office files of before 2007, and Outlook messages, which are compound files (OLE)."""
