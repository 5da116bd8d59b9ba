-- The whole request of a postback, and how its answers are read: domain/request_template.rs.
ALTER TABLE postbacks
    ADD COLUMN method          text NOT NULL DEFAULT 'GET' CHECK (method IN ('GET', 'POST', 'PUT')),
    -- [{"Authorization": "Bearer …"}, …]: a header's value stands under its name, so that the audit
    -- log knows a secret by it.
    ADD COLUMN headers         jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(headers) = 'array'),
    ADD COLUMN body_kind       text NOT NULL DEFAULT 'none' CHECK (body_kind IN ('none', 'form', 'json', 'raw')),
    ADD COLUMN body_template   text NOT NULL DEFAULT '',
    -- NULL: that of the kind of the body.
    ADD COLUMN content_type    text,
    ADD COLUMN required_macros text[] NOT NULL DEFAULT '{}',
    ADD COLUMN success_rules   jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(success_rules) = 'array'),
    ADD CONSTRAINT a_get_has_no_body CHECK (method <> 'GET' OR body_kind = 'none'),
    ADD CONSTRAINT a_body_has_a_kind CHECK (body_kind <> 'none' OR body_template = '');
