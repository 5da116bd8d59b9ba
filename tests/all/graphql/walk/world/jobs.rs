//! Jobs that somebody has made many deliveries by.

use serde_json::json;
use uuid::Uuid;

use super::MarkedWorld;

impl MarkedWorld {
    pub(super) async fn add_jobs(&mut self) {
        for (place, advertiser) in self.advertisers.clone().into_iter().enumerate() {
            self.add_job(Some(advertiser), None, &format!("a{}!", place + 1)).await;
        }
        for (place, partner) in self.partners.clone().into_iter().enumerate() {
            self.add_job(None, Some(partner), &format!("p{}!", place + 1)).await;
        }
        self.add_job(None, None, "!").await;
    }

    async fn add_job(&mut self, advertiser: Option<Uuid>, partner: Option<Uuid>, roles: &str) {
        let (job, token, chosen) = (self.id(roles), self.id(roles), self.id(roles));
        let note = self.markers.text("job", roles);
        let [created, started, finished] = std::array::from_fn(|_| self.markers.time(roles));
        let [rate, expected, matched, made, hastened, skipped] =
            ["ratePerSecond", "expected", "matched", "made", "hastened", "count"]
                .map(|field| self.markers.number(field, roles));
        self.execute(
            "INSERT INTO delivery_jobs (job_id, kind, state, selection, request, rate_per_second, advertiser_id,
                 partner_id, actor_role, actor_token_id, created_at, started_at, finished_at, paced_until, expected,
                 matched, made, hastened, skipped, note)
             VALUES ($1, 'resend', 'done', $2, 'original', $3, $4, $5, 'owner', $6, $7, $8, $9, $9, $10, $11, $12,
                 $13, $14, $15)",
            &[
                &job,
                &json!({ "deliveries": [chosen] }),
                &rate,
                &advertiser,
                &partner,
                &token,
                &created,
                &started,
                &finished,
                &i64::from(expected),
                &i64::from(matched),
                &i64::from(made),
                &i64::from(hastened),
                &json!({ "forgotten": skipped }),
                &note,
            ],
        )
        .await;
    }
}
