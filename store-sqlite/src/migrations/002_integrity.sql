-- Version 2: checkpoints, quarantine, and the record of what was done to the store.

ALTER TABLE segments ADD COLUMN checkpoint_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE store ADD COLUMN event_count INTEGER NOT NULL DEFAULT 0;

-- An append to the segment that changed last keeps its change: who reads by version 1 would miss it.
UPDATE store SET min_reader = 2;

-- What no checksum covers stands in an index too, and SQLite's own check holds the two against each other.
CREATE UNIQUE INDEX store_identity ON store (uuid, min_reader);

CREATE TABLE checkpoints (
    segment_id BLOB    NOT NULL REFERENCES segments (segment_id),
    seq        INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    crc32c     INTEGER NOT NULL,
    PRIMARY KEY (segment_id, seq)
) STRICT;

CREATE TABLE events (
    seq    INTEGER NOT NULL PRIMARY KEY,
    body   TEXT    NOT NULL,
    crc32c INTEGER NOT NULL
) STRICT;

-- Rows of entries that were taken out, as they stood, whatever stood in them.
CREATE TABLE quarantine (
    number       INTEGER NOT NULL PRIMARY KEY,
    migration_id BLOB    NOT NULL CHECK (length(migration_id) = 16),
    segment_id   BLOB    NOT NULL REFERENCES segments (segment_id),
    seq          INTEGER NOT NULL,
    key          ANY,
    body         ANY,
    row_crc32c   ANY,
    crc32c       INTEGER NOT NULL
) STRICT;
CREATE INDEX quarantine_by_segment ON quarantine (segment_id);
