#!/bin/sh
# Whether the proxy answers. The official image has wget; one made from Debian may have bash alone.
set -eu
if command -v wget >/dev/null; then
    exec wget -q -T 3 -O /dev/null http://127.0.0.1:8080/healthz
fi
exec timeout 3 bash -c '
    exec 3<>/dev/tcp/127.0.0.1/8080
    printf "GET /healthz HTTP/1.0\r\n\r\n" >&3
    IFS= read -r answer <&3
    case $answer in *" 200 "*) ;; *) exit 1 ;; esac'
