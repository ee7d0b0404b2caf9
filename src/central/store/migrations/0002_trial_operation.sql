-- Whether people must check everything a model says; the latest event of a model decides.
ALTER TABLE models ADD COLUMN trial INTEGER NOT NULL DEFAULT 0;
