-- Stretches of road that were driven, see schema::coverage. No row number, which would tell the order within the hour.
CREATE TABLE coverage (
    id         BLOB PRIMARY KEY NOT NULL,
    hour       INTEGER NOT NULL,
    from_lat   REAL NOT NULL,
    from_lon   REAL NOT NULL,
    to_lat     REAL NOT NULL,
    to_lon     REAL NOT NULL,
    -- The middle: what it is found by.
    lat        REAL NOT NULL,
    lon        REAL NOT NULL,
    accuracy   REAL NOT NULL,
    heading    REAL NOT NULL,
    length     REAL NOT NULL,
    usable     REAL NOT NULL,
    -- JSON: reason → metres.
    unusable   TEXT NOT NULL,
    calibrated INTEGER NOT NULL,
    simulated  INTEGER NOT NULL,
    pass       TEXT NOT NULL,
    ordinal    INTEGER,
    model      INTEGER NOT NULL REFERENCES models (id),
    device_tag BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX coverage_by_hour ON coverage (hour DESC, id);
CREATE INDEX coverage_by_place ON coverage (lat, lon, hour);
