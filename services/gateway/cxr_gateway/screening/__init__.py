"""Images that a screening of the archive chose, on the worklist."""
