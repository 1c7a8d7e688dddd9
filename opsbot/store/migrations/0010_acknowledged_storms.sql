-- How often it changed: made, void, made again. The message about a storm shows who has taken what of it.
ALTER TABLE acknowledgements ADD COLUMN changes INTEGER NOT NULL DEFAULT 1;
