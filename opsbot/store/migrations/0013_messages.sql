-- Outcomes, reasons and step names become messages: a code and parameters, as JSON. What earlier versions wrote in prose
-- is kept as legacy text, which is shown unchanged.
UPDATE deployments SET note = json_object('code', 'general.text', 'params', json_object('text', note)) WHERE note <> '';
UPDATE deployments SET reason = json_object('code', 'general.text', 'params', json_object('text', reason))
WHERE reason <> '';
UPDATE deployments SET steps = (
    SELECT json_group_array(json(json_replace(
        value,
        '$[0]', json_object('code', 'general.text', 'params', json_object('text', json_extract(value, '$[0]'))),
        '$[5]', json(CASE WHEN json_extract(value, '$[5]') = '' THEN 'null'
            ELSE json_object('code', 'general.text', 'params', json_object('text', json_extract(value, '$[5]'))) END)
    )))
    FROM (SELECT value FROM json_each(deployments.steps) ORDER BY key)
)
WHERE steps <> '[]';
UPDATE quarantine SET reason = json_object('code', 'general.text', 'params', json_object('text', reason))
WHERE reason <> '';
UPDATE holds SET reason = json_object('code', 'general.text', 'params', json_object('text', reason)) WHERE reason <> '';
UPDATE sources SET failure = json_object('code', 'general.text', 'params', json_object('text', failure))
WHERE failure <> '';

-- Whether what was asked had an effect was told by how its result began.
ALTER TABLE audit ADD COLUMN effect TEXT NOT NULL DEFAULT 'done';
DROP TRIGGER audit_is_never_rewritten;
UPDATE audit SET effect = 'refused' WHERE NOT allowed OR result LIKE 'refused%';
UPDATE audit SET effect = 'none' WHERE result LIKE 'nothing done%' OR result LIKE 'asked%';
CREATE TRIGGER audit_is_never_rewritten BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
