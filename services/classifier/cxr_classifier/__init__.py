"""Reader service: image to probability of fourteen findings, and where each comes from."""
