CREATE TABLE incident_update (
    incident       TEXT    NOT NULL,
    number         INTEGER NOT NULL CHECK (number > 0),
    status         TEXT    NOT NULL,
    fingerprint    TEXT    NOT NULL,   -- of the canonical message: what makes two messages the same update
    written        TEXT    NOT NULL,   -- the message as written, JSON
    started_at     TEXT,
    next_update_at TEXT,               -- durations resolved once, here
    digest         TEXT    NOT NULL,   -- of everything that goes out
    opened_at      TEXT    NOT NULL,
    opened_by      TEXT    NOT NULL,
    PRIMARY KEY (incident, number),
    UNIQUE (incident, fingerprint)     -- two operators announcing at once: one wins
) STRICT, WITHOUT ROWID;

CREATE TABLE variant (
    id       INTEGER PRIMARY KEY,
    incident TEXT    NOT NULL,
    number   INTEGER NOT NULL,
    channel  TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    language TEXT    NOT NULL,
    parts    TEXT    NOT NULL,         -- JSON; byte for byte what is sent
    facts    TEXT    NOT NULL,         -- JSON: rung, source, carried, left_out
    digest   TEXT    NOT NULL,
    UNIQUE (incident, number, channel, language),
    FOREIGN KEY (incident, number) REFERENCES incident_update
) STRICT;

CREATE TRIGGER variant_is_frozen BEFORE UPDATE ON variant
BEGIN
    SELECT raise(ABORT, 'a variant never changes');
END;

CREATE TABLE delivery (
    id           INTEGER PRIMARY KEY,
    key          TEXT    NOT NULL UNIQUE,
    incident     TEXT    NOT NULL,
    number       INTEGER NOT NULL,
    channel      TEXT    NOT NULL,
    target       TEXT    NOT NULL,     -- an address; empty for a public channel
    language     TEXT    NOT NULL,
    variant      INTEGER NOT NULL REFERENCES variant,
    state        TEXT    NOT NULL,
    reason       TEXT,                 -- why it was passed over, or what went wrong, in words
    code         TEXT,                 -- the provider's own code for it
    refused      INTEGER NOT NULL DEFAULT 0,  -- for the recipient's own reason
    attempts     INTEGER NOT NULL DEFAULT 0,
    replays      INTEGER NOT NULL DEFAULT 0,  -- attempts made while an earlier one was in doubt
    not_before   TEXT,
    expires_at   TEXT,
    attempted_at TEXT,                 -- when the first attempt that may be out began
    provider_id  TEXT,
    url          TEXT,
    detail       TEXT,
    changed_at   TEXT    NOT NULL,
    UNIQUE (incident, number, channel, target, language),
    FOREIGN KEY (incident, number) REFERENCES incident_update
) STRICT;

CREATE INDEX delivery_by_state ON delivery (incident, number, channel, state, not_before);
CREATE INDEX delivery_by_expiry ON delivery (incident, number, channel, expires_at) WHERE state = 'ready';
CREATE INDEX delivery_by_target ON delivery (incident, channel, target, language);

CREATE TABLE transition (               -- append-only: one row for each change of a delivery's state
    seq        INTEGER PRIMARY KEY,
    delivery   INTEGER NOT NULL REFERENCES delivery,
    at         TEXT    NOT NULL,
    from_state TEXT    NOT NULL,
    to_state   TEXT    NOT NULL,
    event      TEXT    NOT NULL,
    reason     TEXT,
    by         TEXT    NOT NULL
) STRICT;

CREATE TRIGGER transition_is_append_only BEFORE UPDATE ON transition
BEGIN
    SELECT raise(ABORT, 'history never changes');
END;
