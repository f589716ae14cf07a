"""From a trained network to a published model folder."""
