"""The REST API: routes, their documentation, and nothing that computes."""
