#!/bin/bash
# Healthy while the way through this door leads to a gateway that is ready. bash, for the image has no HTTP client.
set -eu
exec 3<>/dev/tcp/127.0.0.1/8080
printf 'GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
read -r answer <&3
echo "${answer%$'\r'}"
[[ $answer == *" 200 "* ]]
