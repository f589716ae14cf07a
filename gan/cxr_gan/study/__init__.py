"""Do synthetic radiographs help a classifier with rare findings? Several arms, one budget."""
