#!/bin/bash
# Makes the database's roles; the image runs it when its volume is first used, an operator after a password was changed, or
# once in an installation that had one role:  docker compose exec database cxr-roles
set -eu
: "${CXR_DATABASE_MIGRATOR_PASSWORD:?is not set}" "${CXR_DATABASE_APP_PASSWORD:?is not set}"
psql --quiet --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --file /usr/local/share/cxr/roles.sql

# The superuser is for this container alone: whoever has its password and is elsewhere is not let in.
hba="$PGDATA/pg_hba.conf"
line="host all $POSTGRES_USER all reject"
if ! grep --quiet --fixed-strings --line-regexp "$line" "$hba"; then
  { echo "$line"; cat "$hba"; } > "$hba.new"
  mv "$hba.new" "$hba"
  psql --quiet --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --command "SELECT pg_reload_conf()" > /dev/null
fi
