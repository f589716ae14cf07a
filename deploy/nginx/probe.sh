#!/bin/bash
# Healthy while this proxy reaches a gateway that is ready. bash, for the image has no HTTP client.
set -eu
exec 3<>/dev/tcp/127.0.0.1/8080
printf 'GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
read -r response <&3
echo "${response%$'\r'}"
[[ $response == *" 200 "* ]]
