"""What each part of the classifier's recipe is worth: one change at a time, same budget."""
