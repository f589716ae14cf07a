"""De-identified export: DICOM PS3.15's Basic Application Level Confidentiality Profile.

    profile     the profile's table, and what becomes of an element
    pseudonyms  UIDs and names that follow from the originals by the installation's key
    cleaning    a data set, cleaned at every level
    dicom       a DICOM file, pixels decoded and stored plainly
    exports     of an archived study, for the API and for the command

ADR 0027 says what is taken from a library, what is done here, and why.
"""
