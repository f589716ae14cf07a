"""What readers say of the models, and how often they agree with them."""
