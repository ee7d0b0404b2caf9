-- A message that could not be read may be sound JSON of another kind, with a time to the second and a place. Nothing that it said
-- is kept: only its length, why it was rejected, and the names of its fields.
ALTER TABLE rejected DROP COLUMN payload;
ALTER TABLE rejected ADD COLUMN payload_fields TEXT NOT NULL DEFAULT '';

-- Behind the colon stood what the parser had found instead of what it expected.
UPDATE rejected SET reason = substr(reason, 1, instr(reason, ':') - 1) WHERE instr(reason, ':') > 0;
