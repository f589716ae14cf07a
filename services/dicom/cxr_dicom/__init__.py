"""DICOM node: takes radiographs by C-STORE, hands them to the gateway, sends results to a PACS."""
