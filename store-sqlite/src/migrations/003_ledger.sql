-- Version 3: the ledger. Its events are the truth; accounts, assets and balances follow from them and are kept in the same transactions.

CREATE TABLE ledger_books (
    book     TEXT    NOT NULL PRIMARY KEY,
    last_seq INTEGER NOT NULL,
    last_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_events (
    book           TEXT    NOT NULL,
    seq            INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    key            TEXT,
    transaction_id BLOB    CHECK (length(transaction_id) = 16),
    body           TEXT    NOT NULL,
    crc32c         INTEGER NOT NULL,
    PRIMARY KEY (book, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX ledger_events_by_key ON ledger_events (book, key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX ledger_events_by_transaction ON ledger_events (transaction_id) WHERE transaction_id IS NOT NULL;
CREATE INDEX ledger_events_by_time ON ledger_events (book, at, seq);

CREATE TABLE ledger_assets (
    asset     TEXT    NOT NULL PRIMARY KEY,
    precision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_accounts (
    account_id  INTEGER NOT NULL PRIMARY KEY,
    book        TEXT    NOT NULL,
    path        TEXT    NOT NULL,
    asset       TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    min_balance INTEGER,
    net         INTEGER NOT NULL,
    updated_seq INTEGER NOT NULL,
    UNIQUE (book, path)
) STRICT;

CREATE TABLE ledger_balances (
    account_id INTEGER NOT NULL REFERENCES ledger_accounts (account_id),
    seq        INTEGER NOT NULL,
    net        INTEGER NOT NULL,
    PRIMARY KEY (account_id, seq)
) STRICT, WITHOUT ROWID;
