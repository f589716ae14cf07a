"""How results reach a destination: C-STORE, STOW-RS, HL7 v2 over MLLP, FHIR."""
