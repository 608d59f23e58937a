-- Version 1. A migration that was released is never edited: the next one changes what it made.

-- One row: the store itself.
CREATE TABLE store (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    uuid        BLOB    NOT NULL CHECK (length(uuid) = 16),
    min_reader  INTEGER NOT NULL,
    last_change INTEGER NOT NULL,
    fact_count  INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    session_id BLOB    NOT NULL PRIMARY KEY CHECK (length(session_id) = 16),
    fact_count INTEGER NOT NULL,
    change     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_change ON sessions (change);

CREATE TABLE deleted_sessions (
    session_id BLOB    NOT NULL PRIMARY KEY CHECK (length(session_id) = 16),
    change     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deleted_sessions_by_change ON deleted_sessions (change);

CREATE TABLE segments (
    segment_id        BLOB    NOT NULL PRIMARY KEY CHECK (length(segment_id) = 16),
    session_id        BLOB    NOT NULL REFERENCES sessions (session_id),
    entry_count       INTEGER NOT NULL,
    trace_count       INTEGER NOT NULL,
    origin_session_id BLOB,
    origin_segment_id BLOB,
    origin_seq        INTEGER,
    origin_turn       INTEGER,
    change            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX segments_by_session ON segments (session_id, segment_id);
CREATE INDEX segments_by_origin ON segments (origin_session_id, origin_segment_id)
    WHERE origin_session_id IS NOT NULL;
CREATE INDEX segments_by_change ON segments (change);

CREATE TABLE entries (
    segment_id BLOB    NOT NULL REFERENCES segments (segment_id),
    seq        INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    ts         INTEGER NOT NULL,
    key        TEXT,
    body       TEXT    NOT NULL,
    crc32c     INTEGER NOT NULL,
    PRIMARY KEY (segment_id, seq)
) STRICT;
CREATE UNIQUE INDEX entries_by_key ON entries (segment_id, key) WHERE key IS NOT NULL;

CREATE TABLE traces (
    segment_id BLOB    NOT NULL REFERENCES segments (segment_id),
    seq        INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    crc32c     INTEGER NOT NULL,
    PRIMARY KEY (segment_id, seq)
) STRICT;

-- Scope: a session's id, or no bytes for the store.
CREATE TABLE facts (
    scope  BLOB    NOT NULL CHECK (length(scope) IN (0, 16)),
    seq    INTEGER NOT NULL,
    domain TEXT    NOT NULL,
    body   TEXT    NOT NULL,
    crc32c INTEGER NOT NULL,
    PRIMARY KEY (scope, seq)
) STRICT;

CREATE TABLE blobs (
    sha256 TEXT    NOT NULL PRIMARY KEY CHECK (length(sha256) = 64),
    bytes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE blob_parts (
    sha256 TEXT    NOT NULL REFERENCES blobs (sha256),
    part   INTEGER NOT NULL,
    data   BLOB    NOT NULL,
    PRIMARY KEY (sha256, part)
) STRICT;
