"""Reports: what happened over time, as text, a page, files and pictures."""
