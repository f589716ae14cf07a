"""Reports that a person writes and signs, drafted from levels and corrections."""
