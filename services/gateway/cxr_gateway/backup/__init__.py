"""What an operator does with an archive: migrate it, back it up, restore it."""
