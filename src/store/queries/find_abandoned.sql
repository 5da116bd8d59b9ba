-- A range of the table's blocks, read in their order: no index leads to claims.
SELECT delivery_id FROM deliveries
WHERE ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $2::bigint)::tid
  AND claimed_by IS NOT NULL AND (claimed_by = ANY($3) OR ($4 AND lease_until < now()))
