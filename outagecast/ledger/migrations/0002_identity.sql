CREATE TABLE ledger (
    id     TEXT NOT NULL,  -- drawn once, so that another file in its place is recognised
    unsure TEXT,           -- since when it may not know all that is out
    why    TEXT            -- in words
) STRICT;

INSERT INTO ledger (id) VALUES (lower(hex(randomblob(16))));
