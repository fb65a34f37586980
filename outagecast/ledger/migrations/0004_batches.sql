CREATE TABLE batch (                    -- one update on one channel: what all its deliveries share
    id         INTEGER PRIMARY KEY,
    incident   TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    channel    TEXT    NOT NULL,
    expires_at TEXT,                    -- after it nothing of it is sent
    frozen_at  TEXT,                    -- since when all its deliveries are there; before, none of them counts
    held_at    TEXT,                    -- since when nothing of it may be claimed
    held_by    TEXT,
    held_why   TEXT,
    purged_at  TEXT,                    -- since when its targets are hashes
    UNIQUE (incident, number, channel),
    FOREIGN KEY (incident, number) REFERENCES incident_update
) STRICT;

INSERT INTO batch (incident, number, channel, expires_at, frozen_at)
SELECT d.incident, d.number, d.channel, max(d.expires_at), u.opened_at
  FROM delivery d JOIN incident_update u ON u.incident = d.incident AND u.number = d.number
 GROUP BY d.incident, d.number, d.channel ORDER BY min(d.id);

ALTER TABLE delivery RENAME TO old_delivery;
ALTER TABLE transition RENAME TO old_transition;
DROP INDEX delivery_by_state;
DROP INDEX delivery_by_expiry;
DROP INDEX delivery_by_target;
DROP TRIGGER transition_is_append_only;

CREATE TABLE delivery (
    id           INTEGER PRIMARY KEY,
    batch        INTEGER NOT NULL REFERENCES batch,
    target       TEXT    NOT NULL,      -- an address, or its hash; empty for a public channel
    language     TEXT    NOT NULL,
    variant      INTEGER NOT NULL REFERENCES variant,
    state        TEXT    NOT NULL,
    reason       TEXT,                  -- why it was passed over, or what went wrong, in words
    code         TEXT,                  -- the provider's own code for it
    refused      INTEGER NOT NULL DEFAULT 0,  -- for the recipient's own reason
    attempts     INTEGER NOT NULL DEFAULT 0,
    replays      INTEGER NOT NULL DEFAULT 0,  -- attempts made while an earlier one was in doubt
    not_before   TEXT,
    attempted_at TEXT,                  -- when the first attempt that may be out began
    provider_id  TEXT,
    url          TEXT,
    detail       TEXT,
    edits        TEXT,                  -- the provider's id of the post whose words it replaces
    changed_at   TEXT    NOT NULL
) STRICT;

INSERT INTO delivery
SELECT d.id, b.id, d.target, d.language, d.variant, d.state, d.reason, d.code, d.refused, d.attempts, d.replays,
       d.not_before, d.attempted_at, d.provider_id, d.url, d.detail, d.edits, d.changed_at
  FROM old_delivery d JOIN batch b ON b.incident = d.incident AND b.number = d.number AND b.channel = d.channel
 ORDER BY d.id;

CREATE INDEX delivery_by_state ON delivery (batch, state, refused);
CREATE INDEX delivery_due ON delivery (batch, not_before) WHERE state = 'ready';

CREATE TABLE recipient (                -- nobody is sent the same twice; apart, to be written in its own order
    batch    INTEGER NOT NULL,
    target   TEXT    NOT NULL,
    language TEXT    NOT NULL,
    delivery INTEGER NOT NULL,
    PRIMARY KEY (batch, target, language)
) STRICT, WITHOUT ROWID;

INSERT INTO recipient SELECT batch, target, language, id FROM delivery ORDER BY batch, target, language;

CREATE TABLE transition (               -- append-only: one row for each change of a delivery's state
    seq        INTEGER PRIMARY KEY,     -- but for what windows hold: the claims of many, and their receipts
    delivery   INTEGER NOT NULL REFERENCES delivery,
    at         TEXT    NOT NULL,
    from_state TEXT    NOT NULL,
    to_state   TEXT    NOT NULL,
    event      TEXT    NOT NULL,
    reason     TEXT,
    by         TEXT    NOT NULL
) STRICT;

INSERT INTO transition SELECT * FROM old_transition ORDER BY seq;
DROP TABLE old_transition;
DROP TABLE old_delivery;

CREATE TRIGGER transition_is_append_only
BEFORE UPDATE OF seq, delivery, at, from_state, to_state, event, by ON transition
BEGIN
    SELECT raise(ABORT, 'history never changes');
END;

CREATE TRIGGER transition_keeps_its_reason BEFORE UPDATE OF reason ON transition WHEN new.reason IS NOT NULL
BEGIN
    SELECT raise(ABORT, 'history never changes');  -- but a purge takes words out of it
END;

CREATE TABLE window (                   -- append-only: so many deliveries were claimed at once
    seq   INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL REFERENCES batch,
    at    TEXT    NOT NULL,
    by    TEXT    NOT NULL,
    count INTEGER NOT NULL
) STRICT;

CREATE TABLE suppression (              -- whom nothing is sent to any more
    address TEXT NOT NULL PRIMARY KEY,
    kind    TEXT NOT NULL,
    why     TEXT NOT NULL,
    at      TEXT NOT NULL,
    source  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
