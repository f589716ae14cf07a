"""What the services share at run time: errors, uploads, batching, model folders, metrics, logs.

A library, not a service: it is never started by itself.
"""
