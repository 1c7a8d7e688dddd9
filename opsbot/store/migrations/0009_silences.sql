-- Since when nobody has been told what came and went under a silence; NULL once that was said at its end.
ALTER TABLE silences ADD COLUMN since REAL;
UPDATE silences SET since = at WHERE until > CAST(strftime('%s', 'now') AS REAL);
