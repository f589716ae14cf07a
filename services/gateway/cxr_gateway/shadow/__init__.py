"""A second model of a role: it reads in the background, is promoted, and is rolled back."""
