"""What an installation needs beside the services, and documents that are made from it."""
