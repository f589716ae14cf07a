"""The long fuzzing of decoding, `make fuzz`; the short one is in `tests/gateway/imaging`."""
