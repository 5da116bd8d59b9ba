//! Postbacks of everybody: what is set of them, and how their destinations are doing.

use uuid::Uuid;

use super::{MarkedWorld, id_in};

/// A postback that hears of all its owner has to do with.
#[derive(Clone, Copy)]
pub struct OwnPostback {
    pub id: Uuid,
    pub owner: &'static str,
    /// Which of the advertisers or partners; the platform is one.
    pub place: Option<usize>,
}

impl OwnPostback {
    pub fn roles(&self) -> String {
        self.place.map(|place| format!("{}{}", &self.owner[..1], place + 1)).unwrap_or_default()
    }
}

impl MarkedWorld {
    pub(super) async fn add_postbacks(&mut self) {
        let owners = [
            ("advertiser", Some(0)),
            ("advertiser", Some(1)),
            ("partner", Some(0)),
            ("partner", Some(1)),
            ("platform", None),
        ];
        let node = self.id("a1a2p1p2");
        self.execute("INSERT INTO nodes (node_id, lease_until) VALUES ($1, now())", &[&node]).await;
        for (owner, place) in owners {
            let mut postback = OwnPostback { id: Uuid::nil(), owner, place };
            let (roles, of) = (postback.roles(), self.owner_argument(owner, place));
            let settings = self.settings_of_request(&roles);
            let sending = self.settings_of_sending(&roles);
            postback.id = self.add_postback(&format!("{of} {settings} {sending}"), &roles).await;
            self.own_postbacks.push(postback);
            self.add_secrets(postback.id, &roles).await;
            self.add_health(postback.id, &roles).await;
            self.add_destination(postback.id, node, &roles).await;
        }
        let scopes = [
            ("partner", 0, format!("linkId: \"{}\"", self.links[&(0, 0)])),
            ("advertiser", 1, format!("offerId: \"{}\"", self.offers[1])),
        ];
        for (owner, place, scope) in scopes {
            let roles = OwnPostback { id: Uuid::nil(), owner, place: Some(place) }.roles();
            let of = self.owner_argument(owner, Some(place));
            self.add_postback(&format!("{of} {scope}, "), &roles).await;
        }
    }

    fn owner_argument(&self, owner: &str, place: Option<usize>) -> String {
        match (owner, place) {
            ("advertiser", Some(place)) => format!("advertiserId: \"{}\",", self.advertisers[place]),
            ("partner", Some(place)) => format!("partnerId: \"{}\",", self.partners[place]),
            _ => String::new(),
        }
    }

    async fn add_postback(&mut self, settings: &str, roles: &str) -> Uuid {
        let [url, name, preset] = ["url", "name", "preset"].map(|what| self.markers.text(what, roles));
        let answer = self
            .owner(&format!(
                r#"createPostback(input: {{{settings} name: "{name}", events: [APPROVE, REJECT],
                     urlTemplate: "https://{url}.example/{url}?c={{click_id}}"}}) {{ postbackId }}"#
            ))
            .await;
        let postback = id_in(&answer["createPostback"]["postbackId"]);
        let made_of = "UPDATE postbacks SET preset = $2 WHERE postback_id = $1";
        self.execute(made_of, &[&postback, &preset]).await;
        self.markers.known(&postback.to_string(), roles);
        self.postbacks.push(postback);
        postback
    }

    /// Its condition keeps rejections back, and what it requires is never there.
    fn settings_of_request(&mut self, roles: &str) -> String {
        let [condition, name, value, empty, body, kind, required, text, pointer] =
            ["condition", "header", "value", "empty", "body", "kind", "required", "text", "pointer"]
                .map(|name| self.markers.text(name, roles));
        format!(
            r#"condition: "event != \"reject\" || comment == \"{condition}\"", method: POST,
               headers: [{{name: "x-{name}", value: "{value} {{fields.{empty}}}"}}], bodyKind: RAW,
               bodyTemplate: "{body}", contentType: "text/{kind}", requiredMacros: ["fields.{required}"],
               successRules: [{{check: JSON_EQUALS, text: "{text}", pointer: "/{pointer}", otherwise: FAIL}}],"#
        )
    }

    fn settings_of_sending(&mut self, roles: &str) -> String {
        let [in_flight, timeout, burst, attempts, cap] =
            ["maxInFlight", "timeoutMs", "burst", "maxAttempts", "retryAfterCapMs"]
                .map(|field| self.markers.number(field, roles));
        let rate = self.markers.rate("ratePerSecond", roles);
        let wait_ms = 1_000 + self.markers.next();
        for field in ["scheduleMs", "retryScheduleMs"] {
            self.markers.field(field, vec![wait_ms], roles);
        }
        format!(
            "limits: {{maxInFlight: {in_flight}, ratePerSecond: {rate}, burst: {burst}}}, timeoutMs: {timeout},
             retry: {{scheduleMs: [{wait_ms}], maxAttempts: {attempts}, retryAfterCapMs: {cap}}},"
        )
    }

    /// Two that sign; the older ends by itself.
    async fn add_secrets(&mut self, postback: Uuid, roles: &str) {
        for ends in [true, false] {
            let (secret, made_at) = (self.id(roles), self.markers.time(roles));
            let ends_at = ends.then(|| self.markers.time(roles));
            self.execute(
                "INSERT INTO postback_secrets (secret_id, postback_id, master_key_id, ciphertext, created_at,
                     signs_until)
                 VALUES ($1, $2, 'none', '', $3, $4)",
                &[&secret, &postback, &made_at, &ends_at],
            )
            .await;
        }
    }

    /// It has failed for a while, and was paused by itself.
    async fn add_health(&mut self, postback: Uuid, roles: &str) {
        let (paused, error) = (self.markers.text("paused", roles), self.markers.text("error", roles));
        self.execute(
            "UPDATE postbacks SET is_paused = true, paused_reason = $2 WHERE postback_id = $1",
            &[&postback, &paused],
        )
        .await;
        let failures = i64::from(self.markers.number("consecutiveFailures", roles));
        let [since, success, failure] = std::array::from_fn(|_| self.markers.time(roles));
        self.execute(
            "INSERT INTO postback_health (postback_id, failing_since, consecutive_failures, last_success_at,
                 last_failure_at, last_error, warnings)
             VALUES ($1, $2, $3, $4, $5, $6, 1)
             ON CONFLICT (postback_id) DO UPDATE SET failing_since = $2, consecutive_failures = $3,
                 last_success_at = $4, last_failure_at = $5, last_error = $6, warnings = 1",
            &[&postback, &since, &failures, &success, &failure, &error],
        )
        .await;
    }

    /// As the only node finds it.
    async fn add_destination(&mut self, postback: Uuid, node: Uuid, roles: &str) {
        let [probe, held, success, failure] = std::array::from_fn(|_| self.markers.time(roles));
        let [in_flight, concurrency, most, failures] =
            ["inFlight", "concurrency", "maxInFlight", "consecutiveFailures"]
                .map(|field| self.markers.number(field, roles));
        let rate = self.markers.rate("ratePerSecond", roles);
        self.execute(
            "INSERT INTO destination_states (postback_id, node_id, breaker, probe_at, held_until, in_flight,
                 concurrency, max_in_flight, rate_per_second, consecutive_failures, last_success_at,
                 last_failure_at, updated_at)
             VALUES ($1, $2, 'open', $3, $4, $5, $6, $7, $8, $9, $10, $11, now())",
            &[
                &postback,
                &node,
                &probe,
                &held,
                &in_flight,
                &concurrency,
                &most,
                &rate,
                &failures,
                &success,
                &failure,
            ],
        )
        .await;
    }
}
