"""A statement as tables, and these as CSV, as a spreadsheet and as pages to print: bytes out, no files."""
