"""A whole archive of radiographs through the services' models, on Ray Data."""
