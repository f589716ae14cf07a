"""From a table of one's own images to a served model: `cxr train classifier|detector`."""
