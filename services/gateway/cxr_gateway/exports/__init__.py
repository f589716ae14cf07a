"""What leaves the archive: pure functions of an archived study."""
