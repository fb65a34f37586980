ALTER TABLE incident_update ADD COLUMN corrects INTEGER;  -- the number of the update whose words it puts right
ALTER TABLE delivery ADD COLUMN edits TEXT;               -- the provider's id of the post whose words it replaces
