-- ClickHouse is told names whenever the catalogue's version has grown. Partners are not in the
-- catalogue, so until now a new or renamed one did not make it grow.
CREATE TRIGGER names_changed AFTER INSERT OR UPDATE OF name ON partners
    FOR EACH STATEMENT EXECUTE FUNCTION bump_catalogue_version();
