"""Films for whoever has none at hand: what the page offers as examples."""
