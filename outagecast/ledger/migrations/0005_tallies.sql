-- To move each of a million from one place of an index by state to the next, twice, was a tenth of sending to them. Now
-- only what is rare is in it; of what nearly all are, the counts are kept, and the rows are read in the order of ids.

ALTER TABLE batch ADD COLUMN first INTEGER;  -- no delivery of it has a smaller id; null before there is one
ALTER TABLE batch ADD COLUMN last  INTEGER;  -- nor a greater; others' may lie between

UPDATE batch SET first = (SELECT min(id) FROM delivery d WHERE d.batch = batch.id),
                 last = (SELECT max(id) FROM delivery d WHERE d.batch = batch.id);

CREATE TABLE tally (                    -- how many deliveries of a frozen batch are in a state
    batch   INTEGER NOT NULL REFERENCES batch,
    state   TEXT    NOT NULL,
    refused INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (batch, state, refused)
) STRICT, WITHOUT ROWID;

INSERT INTO tally SELECT d.batch, d.state, d.refused, count(*) FROM delivery d JOIN batch b ON b.id = d.batch
 WHERE b.frozen_at IS NOT NULL GROUP BY d.batch, d.state, d.refused;

DROP INDEX delivery_by_state;
CREATE INDEX delivery_by_state ON delivery (batch, state, refused)
 WHERE state <> 'ready' AND state <> 'attempting' AND state <> 'accepted';  -- NOT IN would make a table of them each time
