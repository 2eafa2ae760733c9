#!/bin/sh -e
# A backup of a PostgreSQL database as a custom volume handler, and its restoration into a second one.
# Usage: postgres.sh IMAGE.tar.zst VERSION, the image made as the README says. Ends with the number of rows restored.
archive=$1 version=$2
ready() { bireme exec "$1" sh -c 'for n in $(seq 100); do pg_isready -q && exit; sleep 0.1; done; exit 1'; }
finish() { bireme rm -f -v $DB $BACKUP_JOB $SECOND >/dev/null; }
trap finish EXIT

bin=/usr/lib/postgresql/$version/bin
bireme import --change "ENV PATH=$bin:/usr/bin:/bin" --change "USER postgres" --change "CMD postgres \
    -D /var/lib/postgresql/$version/main -c config_file=/etc/postgresql/$version/main/postgresql.conf" \
    "$archive" postgres

# The database: one volume for its data, one for its log, one for its socket.
DB=$(bireme run -d -v /var/lib/postgresql -v /var/log/postgresql -v /run/postgresql postgres)
ready $DB
bireme exec $DB psql -qc "CREATE TABLE rows AS SELECT generate_series(1, 1000) AS row"

# The custom volume handler: the backup reaches the database through the socket in the shared volume.
BACKUP_JOB=$(bireme run -d --volumes-from $DB -v /backup postgres sh -c "pg_dump postgres > /backup/all.sql")
bireme wait $BACKUP_JOB

# A second database, fresh volumes, and the dump into it.
SECOND=$(bireme run -d -v /var/lib/postgresql -v /var/log/postgresql -v /run/postgresql postgres)
ready $SECOND
bireme cp $BACKUP_JOB:/backup/all.sql - | tar -xO | bireme exec -i $SECOND psql -q -o /dev/null
bireme exec $SECOND psql -Atc "SELECT count(*) FROM rows"
