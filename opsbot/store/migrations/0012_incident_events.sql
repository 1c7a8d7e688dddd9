-- What happens in an incident is stored as codes with parameters (opsbot.core.incident), not as sentences. Sentences of
-- earlier versions are kept as one kind of their own, and shown as they are.

-- What recovery has tried (opsbot.core.recovery.RecoveryState). Of incidents that are open: by the sentences, once.
ALTER TABLE incidents ADD COLUMN recovery TEXT NOT NULL DEFAULT '{}';
UPDATE incidents SET recovery = json_object(
    'attempts', json((SELECT json_group_array(json_array(json_extract(value, '$[0]'), 'opsbot', ''))
                      FROM json_each(actions) WHERE json_extract(value, '$[1]') GLOB 'restart [0-9]* of [0-9]*')),
    'rolled_back', json(CASE WHEN EXISTS (SELECT 1 FROM json_each(actions)
                                          WHERE json_extract(value, '$[1]') GLOB 'rolling back to *')
                        THEN 'true' ELSE 'false' END),
    'escalated', json(CASE WHEN called_at IS NULL THEN 'false' ELSE 'true' END)
) WHERE closed_at IS NULL;

ALTER TABLE incidents RENAME COLUMN actions TO events;
UPDATE incidents SET
    events = (SELECT json_group_array(json_object(
                  'at', json_extract(value, '$[0]'), 'code', 'incident.legacy',
                  'params', json_object('text', json_extract(value, '$[1]'))))
              FROM json_each(events)),
    dependents = (SELECT json_group_array(json_array(
                      json_extract(value, '$[0]'),
                      json_object('code', 'general.text', 'params', json_object('text', json_extract(value, '$[1]'))),
                      json_extract(value, '$[2]'), json_extract(value, '$[3]')))
                  FROM json_each(dependents)),
    cause = json_object('code', 'general.text', 'params', json_object('text', cause));
ALTER TABLE incidents RENAME COLUMN ended_by TO resolution;
UPDATE incidents SET resolution = json_object('code', 'general.text', 'params', json_object('text', resolution))
WHERE resolution <> '';
UPDATE acknowledgements SET void_why = json_object('code', 'general.text', 'params', json_object('text', void_why))
WHERE void_why <> '';

-- Since when the subject is down (NULL while it is not), and for how many seconds it was before, in this incident.
ALTER TABLE incidents ADD COLUMN down_since REAL;
ALTER TABLE incidents ADD COLUMN down_for REAL NOT NULL DEFAULT 0;
UPDATE incidents SET down_since = opened_at WHERE closed_at IS NULL;
UPDATE incidents SET down_for = closed_at - opened_at WHERE closed_at IS NOT NULL;

-- Who made a restart that counts against the budget: opsbot, or the service's manager after a crash.
ALTER TABLE recoveries ADD COLUMN actor TEXT NOT NULL DEFAULT 'opsbot';

-- What a check has seen in a row, the run in which it passed once, and whether it passed the last time: a restarted
-- opsbot counts on from there.
ALTER TABLE health ADD COLUMN streak INTEGER NOT NULL DEFAULT 0;
ALTER TABLE health ADD COLUMN streak_since REAL;
ALTER TABLE health ADD COLUMN run TEXT;
ALTER TABLE health ADD COLUMN ok INTEGER;

-- Messages about an open incident that are edited with it from now on. Those about incidents that are over stay.
UPDATE notices SET gone = 1 WHERE kind IN ('call', 'reminder', 'escalation') AND NOT EXISTS
    (SELECT 1 FROM incidents i WHERE i.id = notices.subject AND i.closed_at IS NULL);
