"""Tables and figures for the documentation, made from published manifests."""
