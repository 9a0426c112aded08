#!/bin/sh
# Gives the users of the definitions their passwords, and the node its cluster's secret, then starts
# RabbitMQ as its image does.
#
# The passwords come from the environment: for user `gateway` from GATEWAY_PASSWORD, or from the
# file that GATEWAY_PASSWORD_FILE names (a secret that is mounted). What RabbitMQ then reads holds
# salted hashes only. In a cluster, ERLANG_COOKIE or the file that ERLANG_COOKIE_FILE names is what
# its nodes have in common; without it, the node makes one of its own.
set -eu
umask 077

definitions=${ROOMLINE_DEFINITIONS:-/etc/rabbitmq/roomline.json}
loaded=${ROOMLINE_LOADED_DEFINITIONS:-/var/lib/rabbitmq/roomline.json}
cookie=${ROOMLINE_COOKIE:-/var/lib/rabbitmq/.erlang.cookie}
shortest=12

fail() {
    echo "roomline: $1" >&2
    exit 64
}

# RabbitMQ's rabbit_password_hashing_sha256: a salt of four bytes, and the hash of it and the
# password, in base64. The password travels in the environment, which other users cannot see.
hash_of() {
    PASSWORD=$1 erl +fnu -noinput -eval '
        Password = unicode:characters_to_binary(os:getenv("PASSWORD")),
        Salt = crypto:strong_rand_bytes(4),
        Hash = crypto:hash(sha256, <<Salt/binary, Password/binary>>),
        io:put_chars(base64:encode(<<Salt/binary, Hash/binary>>)),
        halt().'
}

# Into $secret: what the variable $1 says, or the file that $1_FILE names; empty if neither is set.
secret_of() {
    eval "secret=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$file" ]; then
        [ -z "$secret" ] || fail "$1 and $1_FILE are both set: give one"
        [ -r "$file" ] || fail "$1_FILE: $file cannot be read"
        secret=$(cat "$file")
    fi
    [ -z "$secret" ] || [ "${#secret}" -ge "$shortest" ] ||
        fail "$1 is shorter than $shortest characters"
}

for user in gateway django ops monitor; do
    name=$(echo "$user" | tr '[:lower:]' '[:upper:]')_PASSWORD
    secret_of "$name"
    [ -n "$secret" ] || fail "$name, or ${name}_FILE, is not set"
    export "HASH_$user=$(hash_of "$secret")"
done
secret_of ERLANG_COOKIE
if [ -n "$secret" ]; then
    # Moved there: what is there already may be read-only. Erlang wants it for its owner alone.
    printf %s "$secret" >"$cookie.new"
    chmod 600 "$cookie.new"
    mv -f "$cookie.new" "$cookie"
fi
unset secret ERLANG_COOKIE GATEWAY_PASSWORD DJANGO_PASSWORD OPS_PASSWORD MONITOR_PASSWORD

awk '
    /"name": / { split($0, part, "\""); name = part[4] }
    /"password_hash": ""/ { sub(/""/, "\"" ENVIRON["HASH_" name] "\"") }
    { print }
' "$definitions" >"$loaded.new"
mv "$loaded.new" "$loaded"
unset HASH_gateway HASH_django HASH_ops HASH_monitor

# The official image's own entry point drops root's rights; others may have none.
if command -v docker-entrypoint.sh >/dev/null; then
    set -- docker-entrypoint.sh "$@"
fi
exec "$@"
