"""What every exported result says of itself."""

NOTICE = "Made by artificial intelligence. Research use. Not a medical device."
