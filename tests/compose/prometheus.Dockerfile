# Debian's Prometheus for test_stack_is_watched.py, where the profile's own image is not to be had.
FROM python:3.11-slim-bookworm
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends prometheus wget \
 && rm -rf /var/lib/apt/lists/* \
 && install --directory --owner 65534 --group 65534 /prometheus
USER 65534
ENTRYPOINT ["/usr/bin/prometheus"]
