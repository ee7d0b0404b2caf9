-- A danger may also be a place that the driver marked. Nobody said then what it is or how large: what a model says of a danger is
-- NULL, and marked_by says who it was. SQLite cannot take NOT NULL away, so the table is made anew.
CREATE TABLE dangers_with_marks (
    id           BLOB PRIMARY KEY NOT NULL,
    hour         INTEGER NOT NULL,
    marked_by    TEXT CHECK (marked_by = 'driver'),
    class        TEXT,
    score        REAL,
    lat          REAL NOT NULL,
    lon          REAL NOT NULL,
    sigma        REAL NOT NULL,
    heading      REAL NOT NULL,
    length       REAL,
    width        REAL,
    area         REAL,
    calibrated   INTEGER,
    simulated    INTEGER NOT NULL,
    model        INTEGER REFERENCES models (id),
    device_tag   BLOB,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    CHECK ((marked_by IS NULL) = (model IS NOT NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO dangers_with_marks
    SELECT id, hour, NULL, class, score, lat, lon, sigma, heading, length, width, area, calibrated, simulated, model, device_tag,
           acknowledged
    FROM dangers;
DROP TABLE dangers;
ALTER TABLE dangers_with_marks RENAME TO dangers;
CREATE INDEX dangers_by_hour ON dangers (hour DESC, id);
