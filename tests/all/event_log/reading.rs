//! Reading over connections that the server closes as they are taken again.

use chrono::{DateTime, Utc};
use ricochet::event_log::EventLog;
use ricochet::event_log::reader::export::{self, Export, ExportFormat};
use ricochet::event_log::reader::{self, AttemptFilter, AttemptsOf};
use ricochet::event_log::rows::{AttemptRow, InboundRow, LogRow, decode, encode};
use ricochet::graphql::paging::PageRequest;
use ricochet::graphql::scope::Scope;
use uuid::Uuid;

use crate::graphql::rows::{at, attempt, inbound};
use crate::support::closing_proxy::ClosingProxy;
use crate::support::databases::Databases;

async fn log_row<R: LogRow>(log: &EventLog, row: R) {
    let batch = encode([row]).unwrap();
    log.insert(batch.log, Uuid::new_v4(), decode(&batch.payload).unwrap()).await.unwrap();
}

#[actix_web::test]
async fn no_reading_fails_because_its_connection_was_just_closed() {
    let databases = Databases::shared().await;
    let (inbound_id, now) = (Uuid::now_v7(), Utc::now());
    let line = AttemptRow { ..attempt("t", at(0)) };
    log_row(&databases.log, line.clone()).await;
    log_row(&databases.log, InboundRow { inbound_id, ..inbound("r", now) }).await;
    let proxy = ClosingProxy::before(&databases.clickhouse_url).await;
    let log = EventLog::new(&proxy.url);
    let (filter, page) = (AttemptFilter::default(), PageRequest { rows: 5, after: None, with_total: false });
    let all = Scope::Everything;

    assert!(log.is_reachable().await);
    let mut readings = 0;
    // Each but the very first takes the connection of the one before, which is closed under it.
    for _ in 0..2 {
        let found = reader::attempts(&log, all, &filter, &page).await.unwrap();
        assert_eq!(found.rows.len(), 1);
        let stored = reader::stored_request(&log, all, inbound_id).await.unwrap();
        assert_eq!(stored.map(|request| request.inbound_id), Some(inbound_id));
        let (first, mut cursor) =
            reader::attempts_since(&log, all, &filter, DateTime::UNIX_EPOCH).await.unwrap();
        assert_eq!(first.map(|row| row.attempt_id), Some(line.attempt_id));
        assert!(cursor.next().await.unwrap().is_none());
        let ids = [line.delivery_id];
        let lines = reader::attempts_of(&log, all, AttemptsOf::Delivery, &ids, at(0), 5).await.unwrap();
        assert_eq!(lines.len(), 1);
        let asked = Export::PostbackLog(filter.clone());
        assert_eq!(export::count(&log, all, &asked).await.unwrap(), 1);
        let (first, mut cursor) = export::export(&log, all, &asked, ExportFormat::Ndjson).await.unwrap();
        assert!(first.is_some_and(|bytes| !bytes.is_empty()));
        while cursor.next().await.unwrap().is_some() {}
        assert!(log.is_reachable().await);
        readings += 7;
    }
    assert!(
        proxy.closed() >= readings / 2,
        "{} of {readings} readings met a closed connection",
        proxy.closed()
    );
}
