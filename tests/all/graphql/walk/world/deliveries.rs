//! What postbacks were told: in the queue, in the history, in the log.

use chrono::{DateTime, Utc};
use ricochet::domain::ids::{ChangeId, DeliveryId, PostbackId};
use ricochet::event_log::rows::AttemptRow;
use uuid::Uuid;

use super::MarkedWorld;
use super::business::Deal;
use super::postbacks::OwnPostback;
use crate::graphql::rows::attempt;

impl MarkedWorld {
    /// One that has failed, with its line in the log, and one that waits.
    pub(super) async fn add_deliveries(&mut self, deal: &Deal, postback: OwnPostback, change: ChangeId) {
        let roles = postback.roles();
        let failed = DeliveryId::of(change, PostbackId(postback.id), "approve").0;
        let waiting = DeliveryId::of(change, PostbackId(postback.id), "sale").0;
        self.markers.known(&failed.to_string(), &roles);
        self.markers.known(&waiting.to_string(), &roles);
        let mut logged = vec![(failed, "approve")];
        // Whoever resends it is told by the dry run that its condition keeps it back.
        if roles == "p1" {
            let rejected = DeliveryId::of(change, PostbackId(postback.id), "reject").0;
            self.execute(
                "INSERT INTO deliveries_finished (delivery_id, postback_id, change_id, event, lead_id, state, reason,
                     attempts, created_at, finished_at)
                 VALUES ($1, $2, $3, 'reject', $4, 'skipped', '', 1, now(), now())",
                &[&rejected, &postback.id, &change.0, &deal.lead],
            )
            .await;
            logged.push((rejected, "reject"));
        }
        self.log_attempts(deal, postback, &logged).await;

        let now: DateTime<Utc> = Utc::now();
        let reason = self.markers.text("failed", &roles);
        let [origin, job, other_job] = std::array::from_fn(|_| self.id(&roles));
        let [finished, due] = std::array::from_fn(|_| self.markers.time(&roles));
        let [attempts, revision, resend] =
            ["attempts", "revision", "resendNumber"].map(|field| self.markers.number(field, &roles));
        self.execute(
            "INSERT INTO deliveries_finished (delivery_id, postback_id, change_id, event, lead_id, state, reason,
                 attempts, created_at, finished_at, resent_from, resend_number, job_id, sent_revision)
             VALUES ($1, $2, $3, 'approve', $4, 'failed', $5, $6, $7, $8, $9, $10, $11, $12)",
            &[
                &failed,
                &postback.id,
                &change.0,
                &deal.lead,
                &reason,
                &attempts,
                &now,
                &finished,
                &origin,
                &resend,
                &job,
                &revision,
            ],
        )
        .await;
        self.execute(
            "INSERT INTO deliveries (delivery_id, postback_id, change_id, event, lead_id, attempt, next_attempt_at,
                 fence, created_at, job_id)
             VALUES ($1, $2, $3, 'sale', $4, 1, $5, 0, $6, $7)",
            &[&waiting, &postback.id, &change.0, &deal.lead, &due, &now, &other_job],
        )
        .await;
    }

    /// One attempt of each delivery, told as its event.
    async fn log_attempts(
        &mut self,
        deal: &Deal,
        postback: OwnPostback,
        deliveries: &[(Uuid, &'static str)],
    ) {
        let roles = postback.roles();
        let [txid, url, answer, header, body] =
            ["txid", "called", "answer", "headed", "carried"].map(|name| self.markers.text(name, &roles));
        // What it told of has a name that only its readers read.
        let told = self.markers.text("told", &roles);
        let [queued, dns, connect, tls, first, total] =
            ["queuedUs", "dnsUs", "connectUs", "tlsUs", "firstByteUs", "totalUs"]
                .map(|field| u64::try_from(self.markers.number(field, &roles)).unwrap());
        let attempt_id = self.id(&roles);
        let number = self.markers.next();
        let peer_ip = format!("198.19.{}.{}", number / 250, number % 250);
        self.markers.field("peerIp", peer_ip.clone(), &roles);
        let row = AttemptRow {
            attempt_id,
            postback_id: postback.id,
            owner: postback.owner,
            partner_id: deal.partner,
            advertiser_id: deal.advertiser,
            offer_id: deal.offer,
            link_id: deal.link,
            lead_id: Some(deal.lead),
            click_id: deal.click,
            action: told,
            payout: Some(deal.payout),
            country: deal.country.into(),
            url,
            request_headers: format!(r#"[["x","{header}"]]"#),
            request_body: body,
            response_body: answer,
            queued_us: queued,
            dns_us: dns,
            connect_us: connect,
            tls_us: tls,
            first_byte_us: first,
            total_us: total,
            peer_ip,
            // No attempt is older than its delivery.
            ..attempt(&txid, Utc::now())
        };
        for (delivery_id, event) in deliveries.iter().copied() {
            let attempt_id = if delivery_id == deliveries[0].0 { attempt_id } else { Uuid::now_v7() };
            self.stage.log_rows([AttemptRow { attempt_id, delivery_id, event, ..row.clone() }]).await;
        }
    }
}
