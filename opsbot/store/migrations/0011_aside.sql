-- One that waits stands aside while another is prepared to take its place: it is not finished, and does not hold the lock.
ALTER TABLE deployments ADD COLUMN instead_of INTEGER;
DROP INDEX one_unfinished_deployment;
CREATE UNIQUE INDEX one_unfinished_deployment ON deployments (service) WHERE finished_at IS NULL AND phase <> 'aside';

-- Those replaced so far share one wait with the one that came after them. Of one that failed, none goes on waiting.
UPDATE deployments SET instead_of = (
    SELECT b.id FROM deployments b
    WHERE b.service = deployments.service AND b.phase = 'replaced'
      AND b.id = (SELECT max(c.id) FROM deployments c WHERE c.service = deployments.service AND c.id < deployments.id)
)
WHERE phase NOT IN ('failed', 'skipped');
