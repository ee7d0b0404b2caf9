-- Units as in the field names of the events: degrees, metres, square metres, seconds since 1970 (UTC).

CREATE TABLE models (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL,
    version TEXT NOT NULL,
    sha256  TEXT NOT NULL,
    UNIQUE (name, version, sha256)
) STRICT;

CREATE TABLE sightings (
    seq          INTEGER PRIMARY KEY,
    id           BLOB NOT NULL UNIQUE,
    hour         INTEGER NOT NULL,
    class        TEXT NOT NULL,
    score        REAL NOT NULL,
    lat          REAL NOT NULL,
    lon          REAL NOT NULL,
    east_east    REAL NOT NULL,
    east_north   REAL NOT NULL,
    north_north  REAL NOT NULL,
    heading      REAL NOT NULL,
    length       REAL NOT NULL,
    width        REAL NOT NULL,
    area         REAL NOT NULL,
    calibrated   INTEGER NOT NULL,
    simulated    INTEGER NOT NULL,
    has_evidence INTEGER NOT NULL,
    pass         TEXT NOT NULL,
    frames_seen  INTEGER NOT NULL,
    model        INTEGER NOT NULL REFERENCES models (id),
    defect       BLOB
) STRICT;
CREATE INDEX sightings_of_defect ON sightings (defect);
CREATE INDEX sightings_simulated ON sightings (simulated) WHERE simulated = 1;

-- How far each sighting reaches (see associate::Reach): whatever overlaps may be the same thing.
CREATE VIRTUAL TABLE reach USING rtree (seq, west, east, south, north);

CREATE TABLE defects (
    id           BLOB PRIMARY KEY NOT NULL,
    status       TEXT NOT NULL,
    class        TEXT NOT NULL,
    lat          REAL NOT NULL,
    lon          REAL NOT NULL,
    east_east    REAL NOT NULL,
    east_north   REAL NOT NULL,
    north_north  REAL NOT NULL,
    heading      REAL NOT NULL,
    length       REAL NOT NULL,
    width        REAL NOT NULL,
    area         REAL NOT NULL,
    best_score   REAL NOT NULL,
    calibrated   INTEGER NOT NULL,
    simulated    INTEGER NOT NULL,
    sightings    INTEGER NOT NULL,
    first_seen   INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL,
    section      TEXT,
    section_name TEXT,
    road_class   TEXT,
    grade        REAL NOT NULL,
    priority     REAL NOT NULL,
    reasons      TEXT NOT NULL,
    evidence     BLOB
) STRICT;
CREATE INDEX defects_by_priority ON defects (priority DESC, id);
CREATE INDEX defects_of_section ON defects (section) WHERE section IS NOT NULL;

CREATE TABLE evidence (
    event       BLOB PRIMARY KEY NOT NULL,
    received_at INTEGER NOT NULL,
    jpeg        BLOB NOT NULL
) STRICT;

-- What could not be read, kept for inspection; the oldest go first when there are too many.
CREATE TABLE rejected (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at   INTEGER NOT NULL,
    topic         TEXT NOT NULL,
    reason        TEXT NOT NULL,
    payload       BLOB NOT NULL,
    payload_bytes INTEGER NOT NULL
) STRICT;

CREATE TABLE sections (
    id            TEXT PRIMARY KEY NOT NULL,
    name          TEXT,
    road_class    TEXT NOT NULL,
    one_way       INTEGER NOT NULL,
    length_metres REAL NOT NULL,
    line          TEXT NOT NULL
) STRICT;

CREATE TABLE facts (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT;
