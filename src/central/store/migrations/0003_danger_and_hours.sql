-- Dangers are told at once and stand by themselves: no pass tag, so that no id joins them with sightings, and no row
-- number, which would tell the order within the hour.
CREATE TABLE dangers (
    id           BLOB PRIMARY KEY NOT NULL,
    hour         INTEGER NOT NULL,
    class        TEXT NOT NULL,
    score        REAL NOT NULL,
    lat          REAL NOT NULL,
    lon          REAL NOT NULL,
    sigma        REAL NOT NULL,
    heading      REAL NOT NULL,
    length       REAL NOT NULL,
    width        REAL NOT NULL,
    area         REAL NOT NULL,
    calibrated   INTEGER NOT NULL,
    simulated    INTEGER NOT NULL,
    model        INTEGER NOT NULL REFERENCES models (id),
    device_tag   BLOB,
    acknowledged INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX dangers_by_hour ON dangers (hour DESC, id);

-- See schema::device_tag. NULL for events of devices that were not enrolled.
ALTER TABLE sightings ADD COLUMN device_tag BLOB;

-- When something arrived is kept to the hour only: to the second it would be a vehicle's way through the town.
UPDATE evidence SET received_at = received_at - received_at % 3600;
UPDATE rejected SET received_at = received_at - received_at % 3600;
UPDATE facts SET value = CAST(CAST(value AS INTEGER) - CAST(value AS INTEGER) % 3600 AS TEXT) WHERE key = 'last_event_at';
UPDATE sightings SET hour = hour - hour % 3600;

-- Messages from a device's own topics were kept with its name.
UPDATE rejected SET topic = 'umsicht/1/+/+', reason = CASE WHEN reason LIKE '%umsicht/1/%' THEN 'no topic of this system' ELSE reason END
    WHERE topic LIKE 'umsicht/1/%' AND topic NOT LIKE 'umsicht/1/%/road/%';
