#!/bin/sh
# Makes the database folder once, then runs the server as a child process, so that the demo can kill it: the first
# process of a container can't be killed from inside.
set -eu
data=/data/main

if [ ! -d "$data" ]; then
    rm -rf "$data.new" # what an interrupted initdb left
    /opt/postgres/bin/initdb --pgdata "$data.new" --username postgres --auth scram-sha-256 \
        --pwfile /run/secrets/postgres/postgres --encoding UTF8 --locale C.UTF-8 --no-instructions
    echo 'host all all all scram-sha-256' >> "$data.new/pg_hba.conf"
    mv "$data.new" "$data"
fi

# The demo's outage: a killed server stays down until this time.
while [ -e /data/down-until ] && [ "$(date +%s)" -lt "$(cat /data/down-until)" ]; do
    sleep 0.2
done

# No other server uses this folder, and the id of a killed server may belong to another process of this container.
rm -f "$data/postmaster.pid"
/opt/postgres/bin/postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp \
    -c max_connections=200 -c timezone=UTC &
server=$!
trap 'kill -INT "$server"' TERM INT
wait "$server"
