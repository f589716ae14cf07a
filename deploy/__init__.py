"""What an installation needs beside the services: images, manifests, and what is written from them."""
