-- A resend keeps to the conditions of postbacks unless it was asked not to.
ALTER TABLE delivery_jobs ADD COLUMN ignores_condition boolean NOT NULL DEFAULT false;
