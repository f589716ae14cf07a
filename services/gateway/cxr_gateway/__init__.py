"""The gateway: REST API, imaging, analysis, archive, exports, access, and the page's files."""
