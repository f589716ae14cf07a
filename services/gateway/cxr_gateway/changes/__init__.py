"""What changed, in order: read page by page, or followed as it happens."""
