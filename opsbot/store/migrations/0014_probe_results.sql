-- What a check saw is a message (opsbot.core.message) as JSON; an earlier version stored a sentence.
UPDATE health
SET seen = json_object('code', 'general.text', 'params', json_object('text', seen))
WHERE at IS NOT NULL;
