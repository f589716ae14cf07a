"""Other systems told of changes, as Standard Webhooks says: signed, tried again, within limits."""
